"""`layshaft run`, `demo` and `migrate`: the service, its demonstration and its schema."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

import asyncpg
import uvloop
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, AMQPError
from cyclopts import Parameter

from canonical.catalogue import Catalogue
from handlers import CATALOGUE
from ops.app import App
from ops.cli.output import screen
from ops.cli.problems import Exit, Problem
from ops.cli.session import Common, configuration, database_url, unreachable, without_password
from ops.configuration import Configuration
from ops.logs import configure_logs
from ops.migrate import migrate
from ops.roles import Share, share_of
from ops.tables import catalogue_of, refuse_unhandled


def run_service(
    *,
    role: str = "",
    lanes: str = "",
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Run the service until SIGTERM or Ctrl-C; a second one ends it at once.

    Logs are JSON lines on standard error; /livez, /readyz and /metrics answer on the listen port.

    Parameters
    ----------
    role
        What this process does: some of translate, decide, dispatch, upkeep and console, with commas
        between them. Without it: everything.
    lanes
        In which lanes: some of critical, standard and enrichment. Without it: in all.
    """
    share = share_of(role, lanes)
    settings = configuration(common)
    catalogue = catalogue_of(settings, CATALOGUE)
    refuse_unhandled(settings, catalogue)
    configure_logs()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, catalogue, share))


def migrate_database(*, common: Common = Common()) -> None:  # noqa: B008 - frozen
    """Bring the database's schema up to date; prints what was applied."""
    url = database_url(common)
    try:
        applied = asyncio.run(migrate(url))
    except (OSError, TimeoutError, asyncpg.CannotConnectNowError) as error:
        raise unreachable(url, error) from error
    except asyncpg.PostgresError as error:
        raise Problem(
            Exit.REFUSED,
            "migration-failed",
            f"The database {without_password(url)} refused a migration",
            why=str(error),
            fix="Nothing of that file stays; repair the cause and run it again",
        ) from error
    page = screen()
    for name in applied:
        page.line(name)
    if not applied:
        page.line("The schema is current.")


def show_demo(
    *,
    script: bool = False,
    output: Annotated[Literal["table", "json"], Parameter(name=("--output", "-o"))] = "table",
    keep: bool = False,
    clean: bool = False,
) -> int:
    """Show one engineering change on its way, with servers of its own; Ctrl-C ends it.

    Parameters
    ----------
    script
        Unattended: a report on standard output, exit code 0 only if every line of it held.
    output
        How to show the report: as a table (default) or as json.
    keep
        Leave folder and data behind.
    clean
        Only stop and remove what an earlier run left.
    """
    # Imported here: it brings the stand-ins and the server stack, which the service never needs.
    from ops.demo.main import main

    return main(script=script, output=output, keep=keep, clean=clean)


async def _serve(settings: Configuration, catalogue: Catalogue, share: Share) -> None:
    """Works until stopped; a server that is away at the start is said so, not traced back."""
    try:
        await App(settings, catalogue=catalogue, share=share).run()
    except (asyncpg.PostgresConnectionError, asyncpg.InvalidCatalogNameError) as error:
        raise unreachable(settings.settings.database_url, error) from error
    except (OSError, TimeoutError, AMQPError, *CONNECTION_EXCEPTIONS) as error:
        raise Problem(
            Exit.UNREACHABLE,
            "server-unreachable",
            "PostgreSQL or RabbitMQ does not answer",
            why=str(error) or type(error).__name__,
            fix="Run layshaft doctor: it says which one",
        ) from error
