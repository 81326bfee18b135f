"""Where a command finds its configuration, and how it reads the database and acts on it."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit

import asyncpg
from cyclopts import Parameter

from broker.authority import Describe, Identify, acting, known
from broker.failpoints import FailPoints
from broker.principals import Principal
from broker.store import Database, Tx
from broker.store.views import snapshot
from canonical.errors import Misconfigured
from ops.cli.problems import Exit, Problem
from ops.configuration import Configuration, load

T = TypeVar("T")

DATABASE_VARIABLE = "LAYSHAFT_DATABASE_URL"
TOKEN_VARIABLE = "LAYSHAFT_TOKEN"
FAIL_POINTS_VARIABLE = "LAYSHAFT_FAILPOINTS"
ACQUIRE_S = 3.0
# A trace of a large change is the longest of all.
STATEMENT_S = 20.0
# A token has 47; what is longer is none.
MOST_TOKEN_BYTES = 1_000


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Common:
    """What every command that works on a configuration takes."""

    config: Annotated[Path | None, Parameter(env_var="LAYSHAFT_CONFIG")] = None
    """Configuration file. Without it: ./layshaft.toml, then the one of a running ./demo."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Reading(Common):
    """What every command that shows something takes."""

    output: Annotated[Literal["table", "json"], Parameter(name=("--output", "-o"))] = "table"
    """How to show it: as a table (default) or as json, whose field names are stable."""

    @property
    def is_json(self) -> bool:
        """Whether data is asked for instead of a page for people."""
        return self.output == "json"


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Actor:
    """What every command takes that is done in somebody's name."""

    token_file: Path | None = None
    """File with your token, which nobody else may read (mode 600). Without it: LAYSHAFT_TOKEN."""


def candidates(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Configuration files that are looked for, first one first."""
    state = Path(environ.get("LAYSHAFT_STATE_DIR", ".layshaft"))
    return Path("layshaft.toml"), state / "demo" / "layshaft.toml"


def locate(given: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The configuration file to use; None where there is none."""
    if given is not None:
        return given
    return next((path for path in candidates(environ) if path.is_file()), None)


def configuration(common: Common) -> Configuration:
    """The whole configuration; a problem where there is none."""
    path = locate(common.config, os.environ)
    if path is None:
        why = "this command needs more than an address of a database"
        raise _no_configuration(os.environ, why, "")
    return load(path, os.environ)


def database_url(common: Common) -> str:
    """The database to work on: of the configuration, or the variable alone."""
    path = locate(common.config, os.environ)
    if path is not None:
        return load(path, os.environ).settings.database_url
    url = os.environ.get(DATABASE_VARIABLE)
    if not url:
        why = f"{DATABASE_VARIABLE} is not set"
        raise _no_configuration(os.environ, why, f" or {DATABASE_VARIABLE}")
    return url


def subscriptions(common: Common) -> frozenset[str]:
    """Events that the configuration names subscribers of; a problem where there is none: a command
    that ends calls has to know who is told of it."""
    return frozenset[str]().union(*configuration(common).settings.subscribers.values())


def read(common: Common, query: Callable[[Tx], Awaitable[T]]) -> T:
    """What the query finds in one snapshot of the database."""

    async def in_snapshot(database: Database) -> T:
        async with snapshot(database) as tx:
            return await query(tx)

    return on_database(common, in_snapshot)


def act(
    common: Common,
    actor: Actor,
    describe: Describe,
    work: Callable[[Tx, Principal], Awaitable[T]],
    *,
    identify: Identify = known,
    subscribed: Collection[str] | None = None,
) -> T:
    """What the work returns, done by whom the token names, where they may; committed. subscribed:
    events that are told where somebody subscribes to them, as of `subscriptions`; None = those that
    a configuration names, where there is one: the service tells later what is not told here.

    Crash before the commit: nothing is done. After it: all of it, and the command given again is
    told so.
    """
    token = token_of(actor, os.environ)
    points = fail_points()
    if subscribed is None:
        has_one = locate(common.config, os.environ) is not None
        subscribed = subscriptions(common) if has_one else ()

    async def in_transaction(database: Database) -> T:
        async with acting(database, token, describe, identify=identify) as (tx, principal):
            done = await work(tx, principal)
            if __debug__:
                await points("command.before_commit")
        if __debug__:
            await points("command.after_commit")
        return done

    return asyncio.run(_work(database_url(common), in_transaction, subscribed))


def act_on_database(
    common: Common,
    actor: Actor,
    describe: Describe,
    work: Callable[[Database, Principal], Awaitable[T]],
) -> T:
    """What the work returns, which commits in its own pieces; done as `act` does it."""
    token = token_of(actor, os.environ)

    async def once_known(database: Database) -> T:
        async with acting(database, token, describe) as (_, principal):
            pass
        return await work(database, principal)

    return on_database(common, once_known)


def token_of(actor: Actor, environ: Mapping[str, str]) -> str:
    """The token that is given, by file or in the environment; "" where none is.

    Raises: Problem where the file cannot be read, or others may read it.
    """
    file = actor.token_file
    if file is None:
        return environ.get(TOKEN_VARIABLE, "").strip()
    try:
        with file.open("rb") as opened:
            mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
            text = opened.read(MOST_TOKEN_BYTES).decode("ascii", "replace").strip()
    except OSError as error:
        raise Problem(
            Exit.USAGE,
            "token-file-unreadable",
            f"The token file {file} cannot be read",
            why=error.strerror or type(error).__name__,
            fix=f"Name the file that holds your token, or set {TOKEN_VARIABLE}",
        ) from error
    if mode & 0o077:
        raise Problem(
            Exit.USAGE,
            "token-file-open",
            f"Others may read the token file {file}",
            why=f"its mode is {mode:03o}; who reads it can act as you",
            fix=f"chmod 600 {file}; if others could read it, have the token revoked",
        )
    return text


def on_database(common: Common, work: Callable[[Database], Awaitable[T]]) -> T:
    """What the work returns; it commits what it does in its own pieces."""
    return asyncio.run(_work(database_url(common), work))


def fail_points() -> FailPoints:
    """Where this command is made to die; nowhere but in tests."""
    return FailPoints.parse(os.environ.get(FAIL_POINTS_VARIABLE, ""))


def without_password(url: str) -> str:
    """The address of a server as it may be shown."""
    parts = urlsplit(url)
    try:
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        port = ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"


def unreachable(url: str, error: BaseException) -> Problem:
    """A server does not answer."""
    demo = candidates(os.environ)[1]
    is_demo = demo.is_file() and url in demo.read_text()
    hint = f"; {demo} is left from a demo that has ended: ./demo starts it anew" if is_demo else ""
    return Problem(
        Exit.UNREACHABLE,
        "database-unreachable",
        f"The database {without_password(url)} does not answer",
        why=str(error) or type(error).__name__,
        fix=f"Start it or correct the address{hint}. Then: layshaft doctor",
    )


async def _work(
    url: str, work: Callable[[Database], Awaitable[T]], subscribed: Collection[str] = ()
) -> T:
    database = Database(
        url=url,
        purpose="cli",
        size=1,
        acquire_s=ACQUIRE_S,
        statement_s=STATEMENT_S,
        subscribed=subscribed,
    )
    try:
        await database.open()
    except asyncpg.InvalidCatalogNameError as error:
        raise unreachable(url, error) from error
    except asyncpg.InvalidAuthorizationSpecificationError as error:
        raise Misconfigured(
            "database-login",
            f"The database {without_password(url)} refused the login",
            where=str(error),
            remedy="Correct user and password in the database URL",
        ) from error
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise unreachable(url, error) from error
    except (ValueError, asyncpg.InterfaceError) as error:
        raise Misconfigured(
            "database-url",
            "The database URL cannot be read",
            where=str(error),
            remedy="Write it as postgresql://user:password@host:port/name",
        ) from error
    try:
        return await work(database)
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError) as error:
        raise Misconfigured(
            "schema-missing",
            f"The database {without_password(url)} has no current Layshaft tables",
            where=str(error),
            remedy="Run layshaft migrate, or name another database",
        ) from error
    except asyncpg.LockNotAvailableError as error:
        raise Problem(
            Exit.CONFLICT,
            "busy",
            "Somebody else is at work on it at this moment",
            why=str(error),
            fix="Give the command again in a moment; nothing was changed",
        ) from error
    except asyncpg.QueryCanceledError as error:
        raise Problem(
            Exit.UNREACHABLE,
            "statement-ended",
            f"The database {without_password(url)} ended a statement before it had an answer",
            why=str(error),
            fix=f"Ask for less, or again when less is going on; {STATEMENT_S:g} s are allowed",
        ) from error
    # OSError: of the network. Work with files of its own says itself what is wrong with them.
    except (OSError, TimeoutError) as error:
        raise unreachable(url, error) from error
    except (asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError) as error:
        raise unreachable(url, error) from error
    finally:
        await database.close()


def _no_configuration(environ: Mapping[str, str], why: str, variable: str) -> Problem:
    looked = " nor ".join(str(path) for path in candidates(environ))
    return Problem(
        Exit.USAGE,
        "configuration-missing",
        "There is no configuration to work with",
        why=f"neither {looked} exists, and {why}",
        fix=f"Give --config FILE, set LAYSHAFT_CONFIG{variable}, or start ./demo",
    )
