"""SQL for principals and their tokens. A token is known by its hash; the token itself never comes
here."""

from __future__ import annotations

from datetime import datetime
from typing import cast

import msgspec

from broker.principals import ADMIN, Grant, Kind, Principal, TokenState
from broker.store.connection import Tx

# Of a token t of a principal p.
TOKEN_STATE = """
    case when p.disabled_at is not null then 'disabled' when t.revoked_at is not null then 'revoked'
         when t.expires_at <= now() then 'expired' else 'valid' end
"""


class FoundToken(msgspec.Struct, frozen=True):
    """Whose a token is, and whether it counts."""

    principal: Principal
    state: TokenState


class PrincipalRow(msgspec.Struct, frozen=True):
    """A principal as it is kept, locked."""

    id: int
    principal: Principal
    kind: Kind
    is_disabled: bool


class TokenRow(msgspec.Struct, frozen=True):
    """One token in a list. name, kind, roles, plants: of its principal."""

    id: int
    name: str
    kind: str
    roles: tuple[str, ...]
    plants: tuple[str, ...]
    label: str
    state: TokenState
    created_at: datetime
    created_by: str
    expires_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


async def find(tx: Tx, token_hash: bytes) -> FoundToken | None:
    """The token with that hash; None where there is none."""
    row = await tx.fetchrow(
        f"""
        select p.name, p.roles, p.plants, {TOKEN_STATE} as state
        from api_token t join principal p on p.id = t.principal_id
        where t.hash = $1
        """,
        token_hash,
    )
    if row is None:
        return None
    principal = Principal(row["name"], tuple(row["roles"]), tuple(row["plants"]))
    return FoundToken(principal, cast(TokenState, row["state"]))


async def note_use(session: Tx, token_hash: bytes) -> None:
    """When the token was last used is on record, to the minute, where it counts."""
    await session.execute(
        f"""
        update api_token t set last_used_at = now()
        from principal p
        where t.hash = $1 and p.id = t.principal_id and {TOKEN_STATE} = 'valid'
          and (t.last_used_at is null or t.last_used_at < now() - interval '1 minute')
        """,
        token_hash,
    )


async def has_admin(tx: Tx) -> bool:
    """Whether some admin has a token that counts; nobody makes one before this transaction ends."""
    await tx.execute("lock table api_token in share row exclusive mode")
    return bool(
        await tx.fetchval(
            f"""
            select exists (
                select from api_token t join principal p on p.id = t.principal_id
                where $1 = any(p.roles) and {TOKEN_STATE} = 'valid')
            """,
            ADMIN,
        )
    )


async def lock(tx: Tx, name: str) -> PrincipalRow | None:
    """The principal of that name; None where there is none."""
    row = await tx.fetchrow(
        """
        select id, name, kind, roles, plants, disabled_at is not null as is_disabled
        from principal where name = $1 for no key update
        """,
        name,
    )
    if row is None:
        return None
    return PrincipalRow(
        id=row["id"],
        principal=Principal(row["name"], tuple(row["roles"]), tuple(row["plants"])),
        kind=cast(Kind, row["kind"]),
        is_disabled=row["is_disabled"],
    )


async def add(tx: Tx, principal: Principal, *, kind: Kind, by: str) -> int | None:
    """The principal is kept; its id. None where somebody else has just made one of that name."""
    made: int | None = await tx.fetchval(
        """
        insert into principal (name, kind, roles, plants, created_by) values ($1, $2, $3, $4, $5)
        on conflict (name) do nothing returning id
        """,
        principal.name,
        kind,
        list(principal.roles),
        list(principal.plants),
        by,
    )
    return made


async def change(tx: Tx, principal: Principal, *, kind: Kind) -> None:
    """The principal of that name is so from now on."""
    await tx.execute(
        "update principal set kind = $2, roles = $3, plants = $4 where name = $1",
        principal.name,
        kind,
        list(principal.roles),
        list(principal.plants),
    )


async def set_disabled(tx: Tx, name: str, *, disabled: bool) -> None:
    """No token of the principal counts, or they count again as far as they are valid."""
    await tx.execute(
        "update principal set disabled_at = case when $2 then now() end where name = $1",
        name,
        disabled,
    )


async def add_token(
    tx: Tx, principal_id: int, token_hash: bytes, grant: Grant, *, by: str
) -> tuple[int, datetime]:
    """The token counts from now on; its id, and when it expires."""
    row = await tx.fetchrow(
        """
        insert into api_token (principal_id, label, hash, created_by, expires_at)
        values ($1, $2, $3, $4, now() + make_interval(days => $5)) returning id, expires_at
        """,
        principal_id,
        grant.label,
        token_hash,
        by,
        grant.days,
    )
    assert row is not None
    return row["id"], row["expires_at"]


async def revoke(tx: Tx, token_id: int) -> bool:
    """The token counts no more; False if it was revoked before."""
    revoked = await tx.fetchval(
        "update api_token set revoked_at = now() where id = $1 and revoked_at is null returning id",
        token_id,
    )
    return revoked is not None


async def owner(tx: Tx, token_id: int) -> str | None:
    """Name of the principal whose token that is; None where there is no such token."""
    name: str | None = await tx.fetchval(
        "select p.name from api_token t join principal p on p.id = t.principal_id where t.id = $1",
        token_id,
    )
    return name


async def able(tx: Tx, *, limit: int) -> list[Principal]:
    """Whoever has a token that counts, by name."""
    rows = await tx.fetch(
        f"""
        select p.name, p.roles, p.plants from principal p
        where exists (
            select from api_token t where t.principal_id = p.id and {TOKEN_STATE} = 'valid')
        order by p.name limit $1
        """,
        limit,
    )
    return [Principal(r["name"], tuple(r["roles"]), tuple(r["plants"])) for r in rows]


async def tokens(tx: Tx, *, limit: int) -> list[TokenRow]:
    """All tokens, by name, the newest first."""
    rows = await tx.fetch(
        f"""
        select t.id, p.name, p.kind, p.roles, p.plants, t.label, {TOKEN_STATE} as state,
               t.created_at, t.created_by, t.expires_at, t.last_used_at, t.revoked_at
        from api_token t join principal p on p.id = t.principal_id
        order by p.name, t.id desc limit $1
        """,
        limit,
    )
    return [msgspec.convert(dict(r), TokenRow) for r in rows]
