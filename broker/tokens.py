"""What admins do with principals and their tokens: make, revoke, disable, enable; on record."""

from __future__ import annotations

import secrets
from datetime import datetime
from functools import partial

import msgspec

from broker.authority import acting, known_or_installer
from broker.principals import (
    ADMIN,
    INSTALLER,
    SECRET_BYTES,
    Action,
    Deed,
    Grant,
    Principal,
    Refused,
    check,
    token_hash,
    token_text,
)
from broker.store import Database, Tx
from broker.store import messages as message_rows
from broker.store import principals as rows
from broker.store.messages import Note
from broker.store.principals import PrincipalRow
from canonical.errors import Conflict, Rejected


class Created(msgspec.Struct, frozen=True):
    """A token that was made. before: its principal until then; None where it is new."""

    id: int
    principal: Principal
    expires_at: datetime
    before: Principal | None


async def deed(tx: Tx, action: Action, name: str) -> Deed:
    """What an act on that principal takes."""
    return Deed(action=action, subject=_subject(name))


async def deed_on_token(tx: Tx, action: Action, token_id: int) -> Deed:
    """What an act on that token takes.

    Raises: Rejected("not-found").
    """
    return await deed(tx, action, await _owner(tx, token_id))


async def create(tx: Tx, grant: Grant, digest: bytes, *, by: Principal) -> Created:
    """The token counts from now on, and its principal is what the grant says.

    digest: of the token, as principals.token_hash gives it.
    Raises: Rejected where the grant says too little or what cannot be; Conflict("disabled");
    Refused("admin-first") where the installation makes anybody but an admin.
    """
    check(grant)
    found = await rows.lock(tx, grant.name)
    after = _after(grant, found)
    if by == INSTALLER and ADMIN not in after.roles:
        raise Refused(
            "admin-first",
            "The first token is an admin's, and this one would not be",
            where=f"{grant.name} would have {', '.join(after.roles)}",
            remedy="Make one with --role admin; then others, by that one",
            by=INSTALLER.name,
        )
    principal_id = await _keep(tx, grant, found, after, by.name)
    token_id, expires_at = await rows.add_token(tx, principal_id, digest, grant, by=by.name)
    before = found.principal if found is not None else None
    await message_rows.write_audit(
        tx,
        [
            Note(
                by.name,
                "token-created",
                _subject(grant.name),
                detail={"token": token_id, "label": grant.label, "expires_at": expires_at},
                before=_scope(before),
                after=_scope(after),
            )
        ],
    )
    return Created(token_id, after, expires_at, before)


async def issue(database: Database, grant: Grant, *, by: str) -> str:
    """A new token, in the name of whom the token `by` says; "" is enough for the first admin's.

    Raises: as `create`, and Refused where they may not.
    """
    token = token_text(secrets.token_bytes(SECRET_BYTES))
    describe = partial(deed, action="token-create", name=grant.name)
    async with acting(database, by, describe, identify=known_or_installer) as (tx, who):
        await create(tx, grant, token_hash(token), by=who)
    return token


async def revoke(tx: Tx, token_id: int, *, by: Principal, reason: str) -> str:
    """The token counts no more; whose it was.

    Raises: Rejected("not-found"), Conflict("revoked-already").
    """
    name = await _owner(tx, token_id)
    if not await rows.revoke(tx, token_id):
        raise Conflict(
            "revoked-already",
            "The token was revoked before",
            where=f"token {token_id}",
            remedy="See: layshaft token list",
        )
    detail = {"token": token_id, "reason": reason}
    note = Note(
        by.name,
        "token-revoked",
        _subject(name),
        detail=detail,
        before={"revoked": False},
        after={"revoked": True},
    )
    await message_rows.write_audit(tx, [note])
    return name


async def set_disabled(tx: Tx, name: str, *, disabled: bool, by: Principal, reason: str) -> None:
    """No token of the principal counts any more, or those that are valid count again.

    Raises: Rejected("not-found"), Conflict("not-in-state").
    """
    found = await rows.lock(tx, name)
    if found is None:
        raise _not_found(f"principal {name}")
    word = "disabled" if disabled else "enabled"
    if found.is_disabled == disabled:
        raise Conflict(
            "not-in-state",
            f"{name} is {word} already",
            where=_subject(name),
            remedy="See: layshaft token list",
        )
    await rows.set_disabled(tx, name, disabled=disabled)
    await message_rows.write_audit(
        tx,
        [
            Note(
                by.name,
                f"principal-{word}",
                _subject(name),
                detail={"reason": reason},
                before={"disabled": not disabled},
                after={"disabled": disabled},
            )
        ],
    )


def _after(grant: Grant, found: PrincipalRow | None) -> Principal:
    """The principal as the grant leaves it."""
    if found is None:
        missing = [word for word in ("roles", "plants") if not getattr(grant, word)]
        if missing:
            raise Rejected(
                "principal-incomplete",
                f"There is no {grant.name} yet, and {' and '.join(missing)} are not said",
                where=_subject(grant.name),
                remedy="Give --role and --plant; --plant '*' is all plants",
            )
        return Principal(grant.name, grant.roles, grant.plants)
    if found.is_disabled:
        raise Conflict(
            "disabled",
            f"{grant.name} is disabled",
            where=_subject(grant.name),
            remedy="Enable it first: layshaft token enable",
        )
    known = found.principal
    return Principal(grant.name, grant.roles or known.roles, grant.plants or known.plants)


async def _keep(tx: Tx, grant: Grant, found: PrincipalRow | None, after: Principal, by: str) -> int:
    if found is not None:
        await rows.change(tx, after, kind=grant.kind or found.kind)
        return found.id
    made = await rows.add(tx, after, kind=grant.kind or "person", by=by)
    if made is None:
        raise Conflict(
            "made-meanwhile",
            f"Somebody else has just made {grant.name}",
            where=_subject(grant.name),
            remedy="Look what it is, then give the command again: layshaft token list",
        )
    return made


async def _owner(tx: Tx, token_id: int) -> str:
    name = await rows.owner(tx, token_id)
    if name is None:
        raise _not_found(f"token {token_id}")
    return name


def _not_found(what: str) -> Rejected:
    return Rejected(
        "not-found", f"There is no {what}", where=what, remedy="See: layshaft token list"
    )


def _scope(principal: Principal | None) -> dict[str, object] | None:
    if principal is None:
        return None
    return {"roles": principal.roles, "plants": principal.plants}


def _subject(name: str) -> str:
    return f"principal/{name}"
