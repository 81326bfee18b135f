"""How Tryton wants to know who calls: a session that a login begins, and that any number of
processes may have side by side.

The base URL of the system ends with the name of the database, e.g. http://erp.example:8000/works.
Wrong passwords are answered later and later, and then with 429: the channel does not ask again for
half a minute after the first one.
"""

from __future__ import annotations

from base64 import b64encode

import msgspec

from canonical.access import Login
from canonical.errors import Misconfigured
from canonical.exchange import Response
from handlers.systems.tryton.words import LANGUAGE

# Tryton knows the session by the user's id and the token, and writes this name into its log.
_NAME = "layshaft"


class _Granted(msgspec.Struct):
    """result: id of the user, token, address of a bus for the clients of people."""

    result: tuple[int, str, str | None]


def _login(user: str, password: str, tenant: str) -> bytes:
    """Raises: Misconfigured for a tenant: the database stands in the base URL."""
    if tenant:
        raise Misconfigured(
            "tenant-unsupported",
            "Tryton has no tenants",
            where="tenant",
            remedy="Write the name of the database at the end of base_url, and no tenant",
        )
    params = [user, {"password": password}, LANGUAGE]
    return msgspec.json.encode({"id": "login", "method": "common.db.login", "params": params})


def _session(answer: bytes) -> str:
    """ "" also for a login that wants more than a password: its answer has no result."""
    try:
        number, token, _ = msgspec.json.decode(answer, type=_Granted).result
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return b64encode(f"{_NAME}:{number}:{token}".encode()).decode()


def _is_over(response: Response) -> bool:
    return response.status == 401


ACCESS = Login(
    path="/rpc/",
    header="Authorization",
    scheme="Session",
    body=_login,
    session=_session,
    is_over=_is_over,
)
