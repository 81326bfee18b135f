"""Pages out of templates: what every page has, files beside it, and pages about what went wrong."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.resources import files
from zoneinfo import ZoneInfo

import jinja2
import msgspec
from aiohttp import web
from markupsafe import Markup

from broker.principals import Principal
from ops.cli.output import plural, span
from ops.cli.problems import Exit, Problem
from ops.console import states

_PACKAGE = files("ops.console")
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
# Of a file whose content is in its address.
_FOREVER = "public, max-age=31536000, immutable"
_NAME_BYTES = 8
_STATUS: Mapping[int, int] = {
    Exit.USAGE: 400,
    Exit.UNREACHABLE: 503,
    Exit.NOT_FOUND: 404,
    Exit.REFUSED: 422,
    Exit.CONFLICT: 409,
}


class Place(msgspec.Struct, frozen=True):
    """An entry of the navigation. key: `g` and then this one goes there."""

    path: str
    title: str
    key: str


NAVIGATION = (
    Place("/changes", "Changes", "c"),
    Place("/tasks", "My tasks", "t"),
    Place("/orders", "Orders", "o"),
)


class Signed(msgspec.Struct, frozen=True):
    """Who is signed in. text: of the session, known to the browser alone; form_token: for forms."""

    who: Principal
    text: str
    form_token: str
    ends_at: datetime


class Trouble(msgspec.Struct, frozen=True):
    """What a page about a failure says. turn: whose it is to do something."""

    status: int
    code: str
    what: str
    where: str
    turn: str
    do: str


class Asset(msgspec.Struct, frozen=True):
    """A file beside the pages, as it is answered."""

    body: bytes
    content_type: str


class Pages:
    """Templates and assets, read once."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone
        self.assets: dict[str, Asset] = {}
        self._addresses: dict[str, str] = {}
        for file in (_PACKAGE / "static").iterdir():
            suffix = f".{file.name.rpartition('.')[2]}"
            if suffix in _TYPES:
                body = file.read_bytes()
                name = f"{hashlib.sha256(body).hexdigest()[: 2 * _NAME_BYTES]}/{file.name}"
                self.assets[name] = Asset(body, _TYPES[suffix])
                self._addresses[file.name] = f"/static/{name}"
        self._environment = jinja2.Environment(
            loader=jinja2.PackageLoader("ops.console"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.globals.update(
            asset=self._addresses.__getitem__,
            navigation=NAVIGATION,
            zone=zone.key,
            once=lambda: secrets.token_urlsafe(18),
        )
        self._environment.filters.update(
            moment=self.moment,
            plural=plural,
            span=span,
            words=states.in_words,
            shown=lambda step: states.shown(step.kind, step.state),
        )

    def render(self, template: str, **view: object) -> str:
        """The template with the view, everything in it escaped."""
        return self._environment.get_template(template).render(view)

    def moment(self, at: datetime | None, *, is_short: bool = False) -> Markup:
        """A point in time with its zone, and UTC for who points at it. is_short: to the minute."""
        if at is None:
            return Markup("")
        local = at.astimezone(self._zone)
        clock = "%H:%M" if is_short else "%H:%M:%S"
        return Markup('<time datetime="{}" title="{}">{}</time>').format(
            at.astimezone(UTC).isoformat(timespec="seconds"),
            f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC",
            f"{local:%Y-%m-%d {clock} %Z}",
        )


PAGES: web.AppKey[Pages] = web.AppKey("pages", Pages)
SIGNED: web.RequestKey[Signed] = web.RequestKey("signed", Signed)


def answer(request: web.Request, template: str, *, code: int = 200, **view: object) -> web.Response:
    """The page; whoever is signed in is named on it."""
    text = request.app[PAGES].render(
        template, signed=request.get(SIGNED), path=request.path, **view
    )
    return web.Response(text=text, status=code, content_type="text/html")


def trouble_page(request: web.Request, trouble: Trouble) -> web.Response:
    """The page that says what went wrong, where, whose turn it is, and what to do."""
    if request.method == "GET" and trouble.status == 503:
        back, leads = request.path, "Try again"
    else:
        place = next((p for p in NAVIGATION if request.path.startswith(p.path)), NAVIGATION[0])
        back, leads = place.path, f"To {place.title}"
    return answer(
        request, "trouble.html", code=trouble.status, trouble=trouble, back=back, leads=leads
    )


def trouble_of(problem: Problem, turn: str, *, status: int = 0) -> Trouble:
    """A problem as the command would say it. status: where it is not the one of its kind."""
    return Trouble(
        status=status or _STATUS.get(problem.exit_code, 500),
        code=f"LAY-{problem.code}",
        what=problem.what,
        where=problem.why,
        turn=turn,
        do=problem.fix,
    )


async def static(request: web.Request) -> web.Response:
    """A file under the address that its content gave it."""
    found = request.app[PAGES].assets.get(request.match_info["name"])
    if found is None:
        raise web.HTTPNotFound
    return web.Response(
        body=found.body,
        content_type=found.content_type,
        charset="utf-8",
        headers={"Cache-Control": _FOREVER},
    )
