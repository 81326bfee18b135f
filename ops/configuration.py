"""Configuration: defaults, then a TOML file, then `LAYSHAFT_*` variables; unknown keys are errors.

Secrets are references, `env:NAME` or `file:PATH`; they are never values in the file.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from broker.settings import Settings, refuse_contradictions
from canonical.errors import Misconfigured
from canonical.rules import Rules


class Configuration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one process runs with.

    tables: files that say how CSV and JSON of sources are read (handlers.systems.table), relative
    to the configuration. listen_host, listen_port: health and metrics; port 0 takes a free one.
    """

    settings: Settings
    rules: Rules
    tables: tuple[str, ...] = ()
    listen_host: str = "127.0.0.1"
    listen_port: int = 8080


def load(path: Path | None, environ: Mapping[str, str]) -> Configuration:
    """The configuration of `path` with the environment over it.

    Raises: Misconfigured, naming the key and what is near it.
    """
    document = _read(path) if path else {}
    for variable, key in (
        ("LAYSHAFT_DATABASE_URL", "database_url"),
        ("LAYSHAFT_AMQP_URL", "amqp_url"),
        ("LAYSHAFT_FAILPOINTS", "failpoints"),
    ):
        if environ.get(variable):
            document.setdefault("settings", {})[key] = environ[variable]
    if environ.get("LAYSHAFT_LISTEN_PORT"):
        document["listen_port"] = int(environ["LAYSHAFT_LISTEN_PORT"])
    try:
        configuration = msgspec.convert(document, Configuration)
    except msgspec.ValidationError as error:
        raise Misconfigured(
            "configuration-invalid",
            str(error),
            where=str(path) if path else "environment",
            remedy=_hint(str(error)),
        ) from error
    refuse_contradictions(configuration.settings)
    if path is None:
        return configuration
    tables = tuple(str(path.parent / table) for table in configuration.tables)
    return msgspec.structs.replace(configuration, tables=tables)


def secret(reference: str, environ: Mapping[str, str]) -> Callable[[], str]:
    """A reader of the secret; read at each use, so that a rotated file needs no restart."""
    scheme, _, name = reference.partition(":")
    if scheme == "env" and environ.get(name):
        return lambda: environ[name]
    if scheme == "file" and Path(name).is_file():
        return lambda: Path(name).read_text().strip()
    # What is no reference may be the secret itself: it is not repeated.
    shown = f"{scheme}:{name}" if scheme in ("env", "file") else "(neither env: nor file:)"
    raise Misconfigured(
        "secret-missing",
        f"The secret reference {shown} leads nowhere",
        where="secret",
        remedy="Set the variable, or write the secret to the file, or correct the reference",
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Misconfigured(
            "configuration-unreadable",
            f"{type(error).__name__}: {error}",
            where=str(path),
            remedy="Give a readable TOML file with --config or LAYSHAFT_CONFIG",
        ) from error


def _hint(message: str) -> str:
    """msgspec names the unknown field; the nearest known one is what was meant."""
    quoted = message.split("`")
    if "unknown field" not in message or len(quoted) < 2:
        return "Correct the value"
    known = [
        *Configuration.__struct_fields__,
        *Settings.__struct_fields__,
        *Rules.__struct_fields__,
    ]
    near = difflib.get_close_matches(quoted[1], known, n=1)
    return f"Did you mean `{near[0]}`?" if near else f"Known: {', '.join(known)}"
