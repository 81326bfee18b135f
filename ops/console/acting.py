"""A form is carried out once, in the name of who is signed in, and leads to what the database then
says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from urllib.parse import urlencode

from aiohttp import web

from broker import sessions
from broker.authority import Describe, Identify, acting, acting_on_each
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
# Whoever does something to more than so many things at once types their number.
TYPED_OVER = 100
_KEY_CHARACTERS = 24
_DONE = "form"


async def act(request: web.Request, describe: Describe, work: Work, *, back: str) -> web.Response:
    """The work is done, by who may do what the deed says, and the answer leads to the page `back`.

    A form that was sent before does nothing: the answer leads to what it came to. What is refused
    is in the audit, as it is for the command.
    Raises: as broker.authority.acting; Rejected("form-incomplete").
    """
    async with acting(
        request.app[ACTING], request[SIGNED].text, describe, identify=_identify(request)
    ) as (tx, who):
        key = await _once(request, tx, who, work)
    raise web.HTTPSeeOther(f"{back}?{urlencode({_DONE: key})}")


async def act_on_each(request: web.Request, work: Work, *, back: str) -> web.Response:
    """The same for work on several things, which asks about each of them whether they may.

    back: its page; "" = what the work says is the page itself.
    """
    async with acting_on_each(
        request.app[ACTING], request[SIGNED].text, identify=_identify(request)
    ) as (tx, who):
        key = await _once(request, tx, who, work)
    if back:
        raise web.HTTPSeeOther(f"{back}?{urlencode({_DONE: key})}")
    async with snapshot(request.app[READING]) as tx:
        raise web.HTTPSeeOther(await rows.said(tx, _digest(request), key))


async def _once(request: web.Request, tx: Tx, who: Principal, work: Work) -> str:
    """The work is done unless this form did it before; number of the form."""
    key = await field(request, "once")
    if len(key) != _KEY_CHARACTERS:
        raise _incomplete("once")
    if await rows.note_form(tx, _digest(request), key):
        await rows.keep_said(tx, _digest(request), key, await work(tx, who))
    return key


def _identify(request: web.Request) -> Identify:
    limits = request.app[SETTINGS].limits

    async def identify(tx: Tx, text: str) -> Principal:
        return (await sessions.current(tx, text, limits)).principal

    return identify


def _digest(request: web.Request) -> bytes:
    return sessions.session_hash(request[SIGNED].text)


async def said(request: web.Request) -> str:
    """What the form came to that led here; "" where none did, or somebody else's."""
    key = request.query.get(_DONE, "")
    if not key:
        return ""
    async with snapshot(request.app[READING]) as tx:
        return await rows.said(tx, _digest(request), key)


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


async def filled_in(request: web.Request, names: Iterable[str]) -> dict[str, str]:
    """What somebody wrote into the form that was refused, to be sent again: it is not lost."""
    form = await request.post()
    values = {name: form.get(name, "") for name in names}
    return {name: value if isinstance(value, str) else "" for name, value in values.items()}


def require_typed(number: int, typed: str, what: str) -> None:
    """Raises: Rejected("not-confirmed") where there are many, and their number was not typed. what:
    they are, in the plural."""
    if number > TYPED_OVER and typed != str(number):
        raise Rejected(
            "not-confirmed",
            f"The number of {what} was not typed: it is {number}",
            where=f"you typed {typed!r}" if typed else "the field is empty",
            remedy=f"Type {number} to confirm that you mean all of them",
            owner="you",
        )


def _incomplete(name: str) -> Rejected:
    return Rejected(
        "form-incomplete",
        "The form cannot be read",
        where=name,
        remedy=f"Open the page anew and send it from there; a text has up to {MOST_CHARACTERS}"
        " characters",
        owner="you",
    )
