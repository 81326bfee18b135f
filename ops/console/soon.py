"""Work lists that the command has, and the console does not yet: pages that name the commands."""

from __future__ import annotations

from aiohttp import web

from ops.console.pages import answer

_COMMANDS = {
    "/tasks": ("My tasks", ("layshaft task list", "layshaft task show TASK")),
    "/orders": ("Orders", ("layshaft task orders",)),
}


async def page(request: web.Request) -> web.Response:
    """Which commands show it."""
    title, commands = _COMMANDS[request.path]
    return answer(request, "soon.html", title=title, commands=commands)
