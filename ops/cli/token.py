"""`layshaft token`: who may do what, and the tokens by which they are known."""

from __future__ import annotations

import secrets
import sys
from datetime import datetime

import msgspec
from cyclopts import App

from broker import tokens as work
from broker.authority import known_or_installer
from broker.principals import (
    INSTALLATION,
    SECRET_BYTES,
    Action,
    Grant,
    Principal,
    token_hash,
    token_text,
)
from broker.store import Tx
from broker.store import principals as rows
from broker.store.views import LIST_LIMIT
from broker.tokens import Created
from ops.cli.numbered import MANY, put_list, required_reason
from ops.cli.output import Column, moment, put_json, screen, talk
from ops.cli.problems import Exit, Problem
from ops.cli.session import Actor, Common, Reading, act, read

app = App(name="token", help="Say who may do what, and by which tokens they are known.")


class Made(msgspec.Struct, frozen=True):
    """A token that was made. token: said here and never again. name, roles, plants: of whom it
    names."""

    id: int
    token: str
    name: str
    roles: tuple[str, ...]
    plants: tuple[str, ...]
    label: str
    expires_at: datetime


@app.command(name="create")
def create_token(
    name: str,
    /,
    *,
    role: tuple[str, ...] = (),
    plant: tuple[str, ...] = (),
    days: int = 90,
    label: str = "",
    service: bool = False,
    actor: Actor = Actor(),  # noqa: B008 - frozen
    reading: Reading = Reading(),  # noqa: B008 - frozen
) -> None:
    """Make a token for NAME and print it, once: it is kept nowhere.

    It takes an admin's token; as long as no admin has one that counts, whoever reaches the database
    makes the first, with --role admin. Roles and plants belong to NAME, not to one of its tokens:
    given again, they replace those it had.

    Parameters
    ----------
    name
        Who is known by the token: a person or a service. The audit has this name.
    role
        What NAME may do: viewer, operator, integrator, admin, or the role of a question
        ([rules.approvers]), such as quality. Repeatable.
    plant
        For which plant; '*' for all. Repeatable.
    days
        So long it counts, 1 to 730 days.
    label
        Where it is kept, to tell it from others of NAME.
    service
        NAME is a service, not a person.
    """
    grant = Grant(
        name=name,
        kind="service" if service else None,
        roles=tuple(dict.fromkeys(role)),
        plants=tuple(dict.fromkeys(plant)),
        label=label,
        days=days,
    )
    token = token_text(secrets.token_bytes(SECRET_BYTES))

    async def create(tx: Tx, who: Principal) -> tuple[str, Created]:
        return who.name, await work.create(tx, grant, token_hash(token), by=who)

    by, made = act(
        reading,
        actor,
        lambda tx: work.deed(tx, "token-create", name),
        create,
        identify=known_or_installer,
    )
    _put(reading, token, made, label, by)


@app.command(name="list")
def list_tokens(*, reading: Reading = Reading()) -> None:  # noqa: B008 - frozen
    """List tokens by the name they stand for; the tokens themselves are kept nowhere."""
    found = read(reading, lambda tx: rows.tokens(tx, limit=LIST_LIMIT))
    put_list(
        reading,
        found,
        [
            (Column("token", is_number=True), lambda t: str(t.id)),
            (Column("name"), lambda t: t.name),
            (Column("kind"), lambda t: t.kind),
            (Column("roles"), lambda t: ", ".join(t.roles)),
            (Column("plants"), lambda t: ", ".join(t.plants)),
            (Column("state"), lambda t: t.state),
            (Column("expires (UTC)"), lambda t: moment(t.expires_at)),
            (Column("last used (UTC)"), lambda t: moment(t.last_used_at)),
            (Column("made by"), lambda t: t.created_by),
            (Column("label", is_text=True), lambda t: t.label),
        ],
        nothing="There is no token. The first one is an admin's: layshaft token create NAME"
        " --role admin --plant '*'",
    )


@app.command(name="revoke")
def revoke_token(
    token_id: int,
    /,
    *,
    reason: str,
    actor: Actor = Actor(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Let a token count no more, from the next command on.

    Parameters
    ----------
    token_id
        Number of the token, from `token list`; not the token.
    reason
        Why; kept.
    """
    why = required_reason(reason)
    if abs(token_id) >= MANY:
        raise Problem(
            Exit.NOT_FOUND,
            "not-found",
            f"There is no token {token_id}",
            why="no token of this database has that number",
            fix="See: layshaft token list",
        )

    async def revoke(tx: Tx, who: Principal) -> tuple[str, str]:
        return who.name, await work.revoke(tx, token_id, by=who, reason=why)

    by, name = act(
        common, actor, lambda tx: work.deed_on_token(tx, "token-revoke", token_id), revoke
    )
    screen().line(f"Token {token_id} of {name} revoked by {by}")


@app.command(name="disable")
def disable_principal(
    name: str,
    /,
    *,
    reason: str,
    actor: Actor = Actor(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Let no token of NAME count any more.

    Parameters
    ----------
    name
        Who is known by the tokens.
    reason
        Why; kept.
    """
    _set_disabled(common, actor, name, reason, disabled=True)


@app.command(name="enable")
def enable_principal(
    name: str,
    /,
    *,
    reason: str,
    actor: Actor = Actor(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Let the tokens of NAME count again, those that are neither revoked nor expired.

    Parameters
    ----------
    name
        Who is known by the tokens.
    reason
        Why; kept.
    """
    _set_disabled(common, actor, name, reason, disabled=False)


def _set_disabled(common: Common, actor: Actor, name: str, reason: str, *, disabled: bool) -> None:
    why = required_reason(reason)

    async def change(tx: Tx, who: Principal) -> str:
        await work.set_disabled(tx, name, disabled=disabled, by=who, reason=why)
        return who.name

    action: Action = "principal-disable" if disabled else "principal-enable"
    by = act(common, actor, lambda tx: work.deed(tx, action, name), change)
    screen().line(f"{name} {'disabled' if disabled else 'enabled'} by {by}")


def _put(reading: Reading, token: str, made: Created, label: str, by: str) -> None:
    """The token on standard output, and everything else that is said beside it."""
    who = made.principal
    if reading.is_json:
        put_json(Made(made.id, token, who.name, who.roles, who.plants, label, made.expires_at))
    else:
        # Alone, so that it can go into a file as it is.
        sys.stdout.write(f"{token}\n")
    talk(
        f"Token {made.id} of {who.name} ({', '.join(who.roles)}; plants {', '.join(who.plants)}),"
        f" until {moment(made.expires_at)} UTC. It is shown this once."
    )
    if made.before is not None and made.before != who:
        was = f"{', '.join(made.before.roles)}; plants {', '.join(made.before.plants)}"
        talk(f"{who.name} was {was}: all of its tokens have changed with it.")
    if by == INSTALLATION:
        talk("It was the first of an admin: from now on, making one takes an admin's token.")
