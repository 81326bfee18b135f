"""SQL for who has signed in to the console. A session is known by its hash, as a token is."""

from __future__ import annotations

from datetime import datetime
from typing import cast

import msgspec

from broker.principals import Principal, TokenState
from broker.store.connection import Tx
from broker.store.principals import TOKEN_STATE


class FoundSession(msgspec.Struct, frozen=True):
    """Whose a session is. token_state: of the token it was begun by; is_over: it has ended by
    itself. signed_in_at, ends_at: when it began, and ends whatever happens."""

    principal: Principal
    token_state: TokenState
    is_over: bool
    signed_in_at: datetime
    ends_at: datetime


async def begin(tx: Tx, digest: bytes, token_hash: bytes, *, most_s: float) -> datetime:
    """The session counts from now on; when it ends, at the latest with its token."""
    ends_at: datetime = await tx.fetchval(
        """
        insert into console_session (hash, token_id, ends_at)
        select $1, id, least(expires_at, now() + make_interval(secs => $3))
        from api_token where hash = $2
        returning ends_at
        """,
        digest,
        token_hash,
        most_s,
    )
    return ends_at


async def find(tx: Tx, digest: bytes, *, idle_s: float) -> FoundSession | None:
    """The session with that hash; None where there is none. idle_s: unused so long it is over."""
    row = await tx.fetchrow(
        f"""
        select p.name, p.roles, p.plants, {TOKEN_STATE} as token_state, s.created_at, s.ends_at,
               s.ends_at <= now() or s.used_at <= now() - make_interval(secs => $2) as is_over
        from console_session s join api_token t on t.id = s.token_id
        join principal p on p.id = t.principal_id
        where s.hash = $1
        """,
        digest,
        idle_s,
    )
    if row is None:
        return None
    return FoundSession(
        principal=Principal(row["name"], tuple(row["roles"]), tuple(row["plants"])),
        token_state=cast(TokenState, row["token_state"]),
        is_over=row["is_over"],
        signed_in_at=row["created_at"],
        ends_at=row["ends_at"],
    )


async def note_use(session: Tx, digest: bytes) -> None:
    """That somebody is at work in it is on record, to the minute: of the session and its token."""
    await session.execute(
        """
        with used as (
            update console_session set used_at = now()
            where hash = $1 and used_at < now() - interval '1 minute'
            returning token_id
        )
        update api_token t set last_used_at = now() from used where t.id = used.token_id
        """,
        digest,
    )


async def end(tx: Tx, digest: bytes) -> str | None:
    """There is no such session any more; name of whom it was, None where there was none."""
    name: str | None = await tx.fetchval(
        """
        with ended as (delete from console_session where hash = $1 returning token_id)
        select p.name from ended join api_token t on t.id = ended.token_id
        join principal p on p.id = t.principal_id
        """,
        digest,
    )
    return name


async def forget_ended(tx: Tx, *, idle_s: float, limit: int = 1_000) -> None:
    """Sessions that are over are gone, so many of them at a time."""
    await tx.execute(
        """
        delete from console_session where hash in (
            select hash from console_session
            where ends_at <= now() or used_at <= now() - make_interval(secs => $1)
            limit $2 for update skip locked)
        """,
        idle_s,
        limit,
    )


async def note_form(tx: Tx, digest: bytes, key: str) -> bool:
    """The form of that key is being carried out in this transaction; False where it was before.

    Whoever sends it twice at once waits here for the first to end.
    """
    return bool(
        await tx.fetchval(
            """
            insert into console_form (session, key, said) values ($1, $2, '')
            on conflict do nothing returning true
            """,
            digest,
            key,
        )
    )


async def keep_said(tx: Tx, digest: bytes, key: str, said: str) -> None:
    """What the form came to."""
    await tx.execute(
        "update console_form set said = $3 where session = $1 and key = $2", digest, key, said
    )


async def said(tx: Tx, digest: bytes, key: str) -> str:
    """What the form of that key came to; "" where it did nothing."""
    return (
        await tx.fetchval(
            "select said from console_form where session = $1 and key = $2", digest, key
        )
        or ""
    )
