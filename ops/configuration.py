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

from broker.principals import TECHNICAL_ROLES
from broker.settings import Settings, refuse_contradictions
from canonical.bom_rules import BomRules
from canonical.errors import Misconfigured
from canonical.own_words import OwnWords
from canonical.ownership import Ownership
from canonical.rules import Rules
from ops.console.settings import ConsoleSettings, refuse_unsafe

_GIVE_CONFIGURATION = "Give a readable TOML file with --config or LAYSHAFT_CONFIG"
_NAME_WORDS = "Name a readable TOML file of words, relative to the configuration"


class Configuration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one process runs with.

    tables: files that say how CSV and JSON of sources are read (handlers.systems.table), relative
    to the configuration. listen_host, listen_port: health and metrics; port 0 takes a free one.
    console: the pages for people; without it there are none.
    """

    settings: Settings
    rules: Rules
    tables: tuple[str, ...] = ()
    listen_host: str = "127.0.0.1"
    listen_port: int = 8080
    console: ConsoleSettings | None = None


def load(path: Path | None, environ: Mapping[str, str]) -> Configuration:
    """The configuration of `path` with the environment over it.

    Raises: Misconfigured, naming the key and what is near it.
    """
    document = _read(path, _GIVE_CONFIGURATION) if path else {}
    if path:
        _read_own_words(document, path)
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
    _refuse_words_of_nobody(configuration)
    _refuse_unasked(configuration.rules)
    _refuse_unheard(configuration)
    if configuration.console is not None:
        refuse_unsafe(configuration.console)
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


def _refuse_unasked(rules: Rules) -> None:
    """Nobody can answer a question that is asked of those who run Layshaft: they decide nothing."""
    for question, role in rules.approvers.items():
        if role in TECHNICAL_ROLES:
            raise Misconfigured(
                "approver-not-business",
                f"{question} is asked of {role}, who decides no business question",
                where=f"rules.approvers.{question}",
                remedy="Name the role that answers for it, such as quality",
            )
    for rule in rules.escalations:
        if rule.question and rule.to in TECHNICAL_ROLES:
            raise Misconfigured(
                "approver-not-business",
                f"{rule.question} goes on to {rule.to}, who decides no business question",
                where="rules.escalations",
                remedy="Name the role that may decide it too, such as quality-lead",
            )


def _read(path: Path, remedy: str) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Misconfigured(
            "configuration-unreadable",
            f"{type(error).__name__}: {error}",
            where=str(path),
            remedy=remedy,
        ) from error


def _read_own_words(document: dict[str, Any], path: Path) -> None:
    """Where a file is named for the words of a source or system, they stand in the document now.

    Raises: Misconfigured naming file and row of what cannot be used.
    """
    rules = document.get("rules")
    stated = rules.get("words") if isinstance(rules, dict) else None
    # Anything else is refused by the types.
    if not isinstance(stated, dict):
        return
    for who, words in stated.items():
        where = f"{path}: rules.words.{who}"
        if isinstance(words, str):
            file = path.parent / words
            where, stated[who] = str(file), _read(file, _NAME_WORDS)
        _check_own_words(stated[who], where)


def _check_own_words(words: object, where: str) -> None:
    try:
        msgspec.convert(words, OwnWords)
    except Misconfigured as failure:
        raise Misconfigured(
            failure.code, failure.what, where=f"{where}: {failure.where}", remedy=failure.remedy
        ) from failure
    except msgspec.ValidationError as error:
        raise Misconfigured(
            "words-invalid",
            str(error),
            where=where,
            remedy="Have words and codes in `units`, words and states in `lifecycle`, all as texts",
        ) from error


def _refuse_words_of_nobody(configuration: Configuration) -> None:
    settings = configuration.settings
    known = {s.name for s in settings.sources} | {s.name for s in settings.systems}
    for who in configuration.rules.words:
        if who not in known:
            raise Misconfigured(
                "words-of-nobody",
                f"{who} is neither a source nor a system",
                where=f"rules.words.{who}",
                remedy=f"Name one of {', '.join(sorted(known))}",
            )


def _refuse_unheard(configuration: Configuration) -> None:
    """What is owned by somebody who never states anything could never change again."""
    settings = configuration.settings
    speak = {source.name: source.reads_from or source.name for source in settings.sources}
    known = {*speak.values(), *(system.name for system in settings.systems)}
    for row in configuration.rules.ownership:
        for name in row.speakers:
            if name in known:
                continue
            what = (
                f"{name!r}, who is to own values of {row.entity}, is neither a source nor a system"
            )
            near = difflib.get_close_matches(name, sorted(known), n=1)
            remedy = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(sorted(known))}"
            if name in speak:
                what = f"{name!r} only tells what {speak[name]!r} has, and owns nothing itself"
                remedy = f"Name {speak[name]!r}"
            raise Misconfigured("owner-unknown", what, where="rules.ownership", remedy=remedy)


def _hint(message: str) -> str:
    """msgspec names the unknown field; the nearest known one is what was meant."""
    quoted = message.split("`")
    if "unknown field" not in message or len(quoted) < 2:
        return "Correct the value"
    known = [
        *Configuration.__struct_fields__,
        *ConsoleSettings.__struct_fields__,
        *Settings.__struct_fields__,
        *Rules.__struct_fields__,
        *BomRules.__struct_fields__,
        *Ownership.__struct_fields__,
    ]
    near = difflib.get_close_matches(quoted[1], known, n=1)
    return f"Did you mean `{near[0]}`?" if near else f"Known: {', '.join(known)}"
