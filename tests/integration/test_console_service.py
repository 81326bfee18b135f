"""The service serves the console where its configuration and its roles say so."""

from __future__ import annotations

from broker.settings import Settings
from handlers import CATALOGUE
from ops.app import App
from ops.configuration import Configuration
from ops.console.settings import ConsoleSettings
from ops.roles import share_of
from tests.integration.consoles import visitor_at
from tests.integration.toy import RULES


def service(database_url: str, amqp_url: str, roles: str, console: ConsoleSettings) -> App:
    """The service with these roles and this console."""
    settings = Settings(database_url=database_url, amqp_url=amqp_url, sources=(), systems=())
    configuration = Configuration(settings=settings, rules=RULES, listen_port=0, console=console)
    return App(configuration, catalogue=CATALOGUE, share=share_of(roles, ""))


async def test_a_process_of_that_role_serves_it(database_url: str, amqp_url: str) -> None:
    app = service(database_url, amqp_url, "console", ConsoleSettings(listen="127.0.0.1:0"))
    await app.start()
    try:
        async with visitor_at(f"http://127.0.0.1:{app.console_port}") as visitor:
            page = await visitor.get("/changes")
        assert (page.status, page.url.path) == (200, "/sign-in")
    finally:
        await app.stop()
