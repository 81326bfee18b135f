"""Who acts in the demo: principals made as `layshaft token create` makes them, each with a token in
a file of its own."""

from __future__ import annotations

from pathlib import Path

from broker import tokens
from broker.principals import ALL_PLANTS, Grant
from broker.store import Database

ADMIN = Grant(name="demo admin", roles=("admin",), plants=ALL_PLANTS, days=1)
QUALITY = Grant(name="quality engineer", roles=("quality",), plants=ALL_PLANTS, days=1)
OPERATOR = Grant(name="operator", roles=("operator",), plants=ALL_PLANTS, days=1)


def token_file(folder: Path, grant: Grant) -> Path:
    """Where the token of that principal stands."""
    return folder / f"{grant.name.replace(' ', '-')}.token"


async def introduce(database_url: str, folder: Path) -> None:
    """There is an admin, who has made the others; only this user may read their tokens."""
    database = Database(url=database_url, purpose="cli", size=1, acquire_s=3.0, statement_s=5.0)
    await database.open()
    try:
        admin = await tokens.issue(database, ADMIN, by="")
        _keep(folder, ADMIN, admin)
        for grant in (QUALITY, OPERATOR):
            _keep(folder, grant, await tokens.issue(database, grant, by=admin))
    finally:
        await database.close()


def _keep(folder: Path, grant: Grant, token: str) -> None:
    file = token_file(folder, grant)
    file.touch(mode=0o600)
    file.write_text(f"{token}\n")
