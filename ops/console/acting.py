"""A form is carried out once, in the name of who is signed in, and leads to what the database then
says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import urlencode

from aiohttp import web

from broker import sessions
from broker.authority import Describe, acting
from broker.principals import Principal
from broker.store import Tx
from broker.store import sessions as rows
from broker.store.views import snapshot
from canonical.errors import Rejected
from ops.console.guards import ACTING, READING, SETTINGS
from ops.console.pages import SIGNED

Work = Callable[[Tx, Principal], Awaitable[str]]
"""Does it, and says what it came to."""

MOST_CHARACTERS = 2_000
_KEY_CHARACTERS = 24
_DONE = "form"


async def act(request: web.Request, describe: Describe, work: Work, *, back: str) -> web.Response:
    """The work is done, by who may do what the deed says, and the answer leads to the page `back`.

    A form that was sent before does nothing: the answer leads to what it came to. What is refused
    is in the audit, as it is for the command.
    Raises: as broker.authority.acting; Rejected("form-incomplete").
    """
    key = await field(request, "once")
    if len(key) != _KEY_CHARACTERS:
        raise _incomplete("once")
    limits = request.app[SETTINGS].limits
    digest = sessions.session_hash(request[SIGNED].text)

    async def identify(tx: Tx, text: str) -> Principal:
        return (await sessions.current(tx, text, limits)).principal

    async with acting(request.app[ACTING], request[SIGNED].text, describe, identify=identify) as (
        tx,
        who,
    ):
        if await rows.note_form(tx, digest, key):
            await rows.keep_said(tx, digest, key, await work(tx, who))
    raise web.HTTPSeeOther(f"{back}?{urlencode({_DONE: key})}")


async def said(request: web.Request) -> str:
    """What the form came to that led here; "" where none did, or somebody else's."""
    key = request.query.get(_DONE, "")
    if not key:
        return ""
    async with snapshot(request.app[READING]) as tx:
        return await rows.said(tx, sessions.session_hash(request[SIGNED].text), key)


async def field(request: web.Request, name: str) -> str:
    """What the form says in that field, "" where it says nothing.

    Raises: Rejected("form-incomplete") where it is too long or no text.
    """
    value = (await request.post()).get(name, "")
    if not isinstance(value, str) or len(value) > MOST_CHARACTERS or "\0" in value:
        raise _incomplete(name)
    return value.strip()


async def reason(request: web.Request) -> str:
    """The reason that the form gives.

    Raises: Rejected("reason-missing").
    """
    given = await field(request, "reason")
    if not given:
        raise Rejected(
            "reason-missing",
            "A reason is needed",
            where="whoever reads the record later must understand it",
            remedy="Go back, say why, and send it again",
            owner="you",
        )
    return given


def _incomplete(name: str) -> Rejected:
    return Rejected(
        "form-incomplete",
        "The form cannot be read",
        where=name,
        remedy=f"Open the page anew and send it from there; a text has up to {MOST_CHARACTERS}"
        " characters",
        owner="you",
    )
