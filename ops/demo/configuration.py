"""The demo's configuration of Layshaft: `layshaft.toml` beside this file, addresses left open."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

_FILE = Path(__file__).with_name("layshaft.toml")


def with_addresses(
    *,
    listen_port: int,
    database_url: str,
    amqp_url: str,
    erp_url: str,
    procurement_url: str,
    secret_file: Path,
) -> str:
    """The configuration as Layshaft reads it."""
    return Template(_FILE.read_text(encoding="utf-8")).substitute(
        listen_port=listen_port,
        database_url=database_url,
        amqp_url=amqp_url,
        erp_url=erp_url,
        procurement_url=procurement_url,
        secret_file=secret_file,
    )


def rules() -> Mapping[str, Any]:
    """What the customer decides: plants, distribution, who buys."""
    found: Mapping[str, Any] = _document()["rules"]
    return found


def deadlines() -> Mapping[str, float]:
    """How long Layshaft waits for others, in seconds."""
    found: Mapping[str, float] = _document()["settings"]["deadlines"]
    return found


def _document() -> dict[str, Any]:
    return tomllib.loads(
        with_addresses(
            listen_port=0,
            database_url="",
            amqp_url="",
            erp_url="",
            procurement_url="",
            secret_file=Path(),
        )
    )
