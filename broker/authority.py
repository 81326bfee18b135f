"""In whose name something is done: a token says who it is, `broker.principals` whether they may,
and the audit what was refused."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from broker.principals import (
    INSTALLER,
    UNKNOWN,
    Deed,
    Principal,
    Refused,
    may,
    token_hash,
    unusable,
)
from broker.store import Database, Tx
from broker.store import messages as message_rows
from broker.store import principals as rows
from broker.store.messages import Note
from canonical.errors import Conflict, Rejected

Describe = Callable[[Tx], Awaitable[Deed]]
"""What is about to be done, read in its transaction. What the answer rests on is locked in it."""

Identify = Callable[[Tx, str], Awaitable[Principal]]
"""Who acts by that token, "" where none is given. Raises: Refused."""


async def known(tx: Tx, token: str) -> Principal:
    """Who acts by that token.

    Raises: Refused where none is given, or it does not count.
    """
    if not token:
        raise Refused(
            "token-missing",
            "Nobody says who acts",
            where="token",
            remedy="Set LAYSHAFT_TOKEN or give --token-file; an admin makes tokens:"
            " layshaft token create",
        )
    found = await rows.find(tx, token_hash(token))
    if found is None:
        raise Refused(
            "token-unknown",
            "Nobody has this token",
            where="token",
            remedy="Is it of this installation? An admin makes another one: layshaft token create",
        )
    if refused := unusable(found.principal.name, found.state):
        raise refused
    return found.principal


async def known_or_installer(tx: Tx, token: str) -> Principal:
    """The same; but as long as no admin has a token that counts, whoever reaches the database acts
    for the installation."""
    if not token and not await rows.has_admin(tx):
        return INSTALLER
    return await known(tx, token)


@asynccontextmanager
async def acting(
    database: Database, token: str, describe: Describe, *, identify: Identify = known
) -> AsyncIterator[tuple[Tx, Principal]]:
    """A transaction in which somebody does what they may do.

    What is refused, here or by whatever is done inside, is rolled back, and then it is in the audit
    before anybody is told.
    Crash in between: nothing was done, nobody was told, and no row says so.
    Raises: Refused where no token says who it is, or they may not.
    """
    deed: Deed | None = None
    actor = UNKNOWN
    await _note_use(database, token)
    try:
        async with database.transaction() as tx:
            deed = await describe(tx)
            principal = await identify(tx, token)
            actor = principal.name
            if refused := may_do(principal, deed):
                raise refused
            yield tx, principal
    except (Rejected, Conflict) as failure:
        if deed is not None:
            async with database.transaction() as tx:
                await put_on_record(tx, deed, failure, by=actor)
        raise


@asynccontextmanager
async def acting_on_each(
    database: Database, token: str, *, identify: Identify = known
) -> AsyncIterator[tuple[Tx, Principal]]:
    """A transaction in which somebody does several things, each as far as they may: what is done
    inside asks `may_do` about each of them, and puts on record what is refused.

    Raises: Refused where no token says who it is.
    """
    await _note_use(database, token)
    async with database.transaction() as tx:
        yield tx, await identify(tx, token)


def may_do(principal: Principal, deed: Deed) -> Refused | None:
    """None where the principal may do that; else what is missing."""
    return may(
        principal,
        deed.action,
        plants=deed.plants,
        role=deed.role,
        escalated_to=deed.escalated_to,
        delegates=deed.delegates,
    )


async def put_on_record(tx: Tx, deed: Deed, failure: Rejected | Conflict, *, by: str) -> None:
    """What was refused is in the audit. by: who asked for it, where the failure does not say."""
    name = failure.by if isinstance(failure, Refused) else by
    detail = {"code": failure.code, "reason": failure.what, "where": failure.where}
    note = Note(name, f"{deed.action}-refused", deed.subject, deed.correlation_id, detail)
    await message_rows.write_audit(tx, [note])


async def _note_use(database: Database, token: str) -> None:
    """When it was last used is on record; what is no token is refused where it is asked about.

    Apart from the work, which may be long: two who act by one token wait for nothing.
    """
    with contextlib.suppress(Refused):
        digest = token_hash(token)
        async with database.session() as session:
            await rows.note_use(session, digest)
