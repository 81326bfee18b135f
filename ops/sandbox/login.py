"""A user and a password, as they stand in an Authorization header."""

import base64
import binascii

import msgspec


class Login(msgspec.Struct, frozen=True):
    user: str
    password: str


def decode_basic(header: str) -> Login | None:
    """The login in a basic authentication header; None for any other header."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return Login(user, password) if colon else None
