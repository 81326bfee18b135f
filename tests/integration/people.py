"""Principals and their tokens for tests, made as an admin makes them."""

from __future__ import annotations

import asyncio
import secrets

from broker import tokens
from broker.principals import ALL_PLANTS, SECRET_BYTES, Grant, Principal, token_hash, token_text
from broker.store import Database

ROOT = Principal("root", ("admin",), ALL_PLANTS)


async def token_in(
    database: Database,
    name: str,
    *roles: str,
    plants: tuple[str, ...] = ALL_PLANTS,
    days: int = 90,
) -> str:
    """A token of that principal, who is there from now on and has just these roles and plants."""
    token = token_text(secrets.token_bytes(SECRET_BYTES))
    grant = Grant(name=name, roles=roles, plants=plants, days=days)
    async with database.transaction() as tx:
        await tokens.create(tx, grant, token_hash(token), by=ROOT)
    return token


async def principal_in(
    database: Database, name: str, *roles: str, plants: tuple[str, ...] = ALL_PLANTS
) -> Principal:
    """The principal, who is there from now on."""
    await token_in(database, name, *roles, plants=plants)
    return Principal(name, roles, plants)


def token_at(url: str, name: str, *roles: str, plants: tuple[str, ...] = ALL_PLANTS) -> str:
    """As token_in, in the database at that address."""

    async def make() -> str:
        database = Database(url=url, purpose="test", size=1, acquire_s=5, statement_s=5)
        await database.open()
        try:
            return await token_in(database, name, *roles, plants=plants)
        finally:
            await database.close()

    return asyncio.run(make())
