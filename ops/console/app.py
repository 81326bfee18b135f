"""The application: its routes as a table, and what goes around each of them."""

from __future__ import annotations

from aiohttp import web

from broker.store import Database
from ops.console import guards, signing, soon
from ops.console.guards import ACTING, ORIGINS, READING, SETTINGS
from ops.console.pages import PAGES, Pages, static
from ops.console.settings import ConsoleSettings

# Of a request, with its form.
MOST_BYTES = 64 * 1024

ROUTES: tuple[tuple[str, str, guards.Handler, str | None], ...] = (
    ("GET", "/", signing.first, None),
    ("GET", "/sign-in", signing.page, "entry"),
    ("POST", "/sign-in", signing.sign_in, "entry-form"),
    ("POST", "/sign-out", signing.sign_out, None),
    ("GET", "/changes", soon.page, None),
    ("GET", "/tasks", soon.page, None),
    ("GET", "/orders", soon.page, None),
    ("GET", "/static/{name:.+}", static, "static"),
)


def application(
    settings: ConsoleSettings, *, reading: Database, acting: Database
) -> web.Application:
    """The console, over pools that are open.

    reading: for what is shown, with a short limit for each statement. acting: for what is done.
    """
    app = web.Application(
        client_max_size=MOST_BYTES,
        middlewares=[guards.tell_trouble, guards.know_origin, guards.know_who],
    )
    app[SETTINGS] = settings
    app[PAGES] = Pages(settings.zone)
    app[READING], app[ACTING] = reading, acting
    app[ORIGINS] = []
    app.on_response_prepare.append(guards.set_headers)
    for method, path, handler, name in ROUTES:
        app.router.add_route(method, path, handler, name=name)
    return app
