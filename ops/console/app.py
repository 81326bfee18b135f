"""The application: its routes as a table, and what goes around each of them."""

from __future__ import annotations

from aiohttp import web

from broker.store import Database
from canonical.rules import Rules
from ops.console import change_list, changes, guards, orders, signing, tasks, undo
from ops.console.changes import RULES
from ops.console.guards import ACTING, ORIGINS, READING, SETTINGS, STREAM
from ops.console.live import HEARTBEAT_S, LIVE, Live
from ops.console.pages import PAGES, Pages, static
from ops.console.settings import ConsoleSettings

# Of a request, with its form.
MOST_BYTES = 64 * 1024

ROUTES: tuple[tuple[str, str, guards.Handler, str | None], ...] = (
    ("GET", "/", signing.first, None),
    ("GET", "/sign-in", signing.page, "entry"),
    ("POST", "/sign-in", signing.sign_in, "entry-form"),
    ("POST", "/sign-out", signing.sign_out, None),
    ("GET", "/changes", change_list.page, None),
    ("GET", "/changes.{kind:csv|jsonl}", change_list.download, None),
    ("GET", "/changes/{number:[^/]+}", changes.page, None),
    ("GET", "/changes/{number:[^/]+}/stream", changes.stream, STREAM),
    ("GET", "/changes/{number:[^/]+}/history", changes.history, None),
    ("GET", "/changes/{number:[^/]+}/undo", undo.page, None),
    ("POST", "/changes/{number:[^/]+}/undo", undo.undo, None),
    ("POST", "/changes/{number:[^/]+}/{act:[a-z]+}", changes.steer, None),
    ("GET", "/changes/{number:[^/]+}/steps/{step:[^/]+}", changes.step, None),
    ("POST", "/changes/{number:[^/]+}/steps/{step:[^/]+}/{act:[a-z]+}", changes.steer_step, None),
    ("GET", "/tasks", tasks.page, None),
    ("GET", "/tasks.{kind:csv|jsonl}", tasks.download, None),
    ("GET", r"/tasks/{number:\d{1,20}}", tasks.show, None),
    ("POST", r"/tasks/{number:\d{1,20}}/decide", tasks.decided, None),
    ("POST", r"/tasks/{number:\d{1,20}}/delegate", tasks.delegated, None),
    ("POST", r"/tasks/{number:\d{1,20}}/comment", tasks.commented, None),
    ("GET", "/orders", orders.page, None),
    ("GET", "/orders.{kind:csv|jsonl}", orders.download, None),
    ("POST", "/orders/chosen", orders.choose, None),
    ("GET", r"/orders/chosen/{number:\d{1,20}}", orders.chosen, None),
    ("POST", r"/orders/chosen/{number:\d{1,20}}", orders.decided, None),
    ("GET", "/static/{name:.+}", static, "static"),
)


def application(
    settings: ConsoleSettings,
    *,
    reading: Database,
    acting: Database,
    rules: Rules,
    heartbeat_s: float = HEARTBEAT_S,
) -> web.Application:
    """The console, over pools that are open.

    reading: for what is shown, with a short limit for each statement. acting: for what is done.
    rules: whose calendars say when what runs anew is due. heartbeat_s: a stream says so often that
    it is there.
    """
    app = web.Application(
        client_max_size=MOST_BYTES,
        middlewares=[guards.tell_trouble, guards.know_origin, guards.know_who],
    )
    app[SETTINGS] = settings
    app[RULES] = rules
    pages = app[PAGES] = Pages(settings.zone)
    app[READING], app[ACTING] = reading, acting
    app[ORIGINS] = []
    app[LIVE] = live = Live(
        mark=changes.marker(reading),
        render=changes.renderer(reading, pages),
        heartbeat_s=heartbeat_s,
    )
    app.on_startup.append(live.start)
    # Before the handlers are waited for: streams would be waited for to the end.
    app.on_shutdown.append(live.stop)
    app.on_response_prepare.append(guards.set_headers)
    for method, path, handler, name in ROUTES:
        app.router.add_route(method, path, handler, name=name)
    return app
