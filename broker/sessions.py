"""Sessions of the console: begun by a token, known by 32 random bytes of their own, and over with
the token, after a while without use, or at their end."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets

import msgspec

from broker.authority import known
from broker.principals import UNKNOWN, Principal, Refused, token_hash, unusable
from broker.store import Database, Tx
from broker.store import messages as message_rows
from broker.store import sessions as rows
from broker.store.messages import Note
from broker.store.sessions import FoundSession

_BYTES = 32
_TEXT = re.compile(r"[A-Za-z0-9_-]{43}")
SUBJECT = "console"


class Limits(msgspec.Struct, frozen=True):
    """How long a session lasts: idle_s without use, most_s altogether."""

    idle_s: float
    most_s: float


async def begin(database: Database, token: str, limits: Limits) -> tuple[str, Principal]:
    """A session of whom the token names has begun, on record; its text, and who it is.

    A refusal is on record where the token says whose it is. Any other is not: whoever reaches the
    page could fill the audit, which nobody can empty.
    Raises: Refused where no token says who it is, or it does not count.
    """
    text = _as_text(secrets.token_bytes(_BYTES))
    try:
        async with database.transaction() as tx:
            who = await known(tx, token)
            await rows.forget_ended(tx, idle_s=limits.idle_s)
            ends_at = await rows.begin(
                tx, session_hash(text), token_hash(token), most_s=limits.most_s
            )
            detail = {"ends_at": ends_at}
            await message_rows.write_audit(
                tx, [Note(who.name, "signed-in", SUBJECT, detail=detail)]
            )
    except Refused as refused:
        if refused.by != UNKNOWN:
            detail_of = {"code": refused.code, "reason": refused.what}
            note = Note(refused.by, "sign-in-refused", SUBJECT, detail=detail_of)
            async with database.transaction() as tx:
                await message_rows.write_audit(tx, [note])
        raise
    return text, who


async def current(tx: Tx, text: str, limits: Limits) -> FoundSession:
    """The session, which counts.

    Raises: Refused where there is none, it is over, or its token does not count any more.
    """
    found = None
    if _TEXT.fullmatch(text):
        found = await rows.find(tx, session_hash(text), idle_s=limits.idle_s)
    if found is None or found.is_over:
        raise Refused(
            "session-over",
            "You are not signed in any more" if text else "You are not signed in",
            where=f"a session ends after {limits.idle_s / 60:g} minutes without use, and after"
            f" {limits.most_s / 3600:g} hours",
            remedy="Sign in with your token",
            by=found.principal.name if found else UNKNOWN,
        )
    if refused := unusable(found.principal.name, found.token_state):
        raise refused
    return found


async def end(database: Database, text: str) -> None:
    """Nobody is signed in by it any more, on record."""
    if not _TEXT.fullmatch(text):
        return
    async with database.transaction() as tx:
        if name := await rows.end(tx, session_hash(text)):
            await message_rows.write_audit(tx, [Note(name, "signed-out", SUBJECT)])


def session_hash(text: str) -> bytes:
    """What is kept of a session."""
    return hashlib.sha256(text.encode()).digest()


def form_token(text: str) -> str:
    """What a form of the session carries: who only makes a browser send forms does not know it.

    It follows from what the browser alone has, so that reading the database gives nobody one.
    """
    return _as_text(hmac.digest(text.encode(), b"form", hashlib.sha256))


def is_form_token(text: str, given: str) -> bool:
    """Whether a form of that session carries it."""
    return hmac.compare_digest(form_token(text).encode(), given.encode("utf-8", "replace"))


def _as_text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
