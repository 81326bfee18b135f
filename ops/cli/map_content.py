"""Canonical content as lines that a person reads: pure, over what JSON has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

# A small object is shown in one line up to this length.
_LINE_CHARS = 60
_EMPTY: tuple[object, ...] = (None, "", [], {})


def readable(content: object, path: str = "") -> Iterator[tuple[str, str]]:
    """The content as lines, without what is empty: a small object or a list of values is one."""
    if content in _EMPTY:
        return
    match content:
        case dict():
            line = _one_line(content) if path else None
            if line is not None:
                yield path, line
                return
            for name, value in content.items():
                yield from readable(value, f"{path}.{name}" if path else name)
        case list():
            if not any(isinstance(value, dict | list) for value in content):
                yield path, ", ".join(_shown(value) for value in content)
                return
            for place, value in enumerate(content):
                yield from readable(value, f"{path}[{place}]")
        case _:
            yield path, _shown(content)


def _one_line(content: dict[str, Any]) -> str | None:
    filled = {name: value for name, value in content.items() if value not in _EMPTY}
    if not filled or any(isinstance(value, dict | list) for value in filled.values()):
        return None
    line = ", ".join(f"{name} {_shown(value)}" for name, value in filled.items())
    return line if len(line) <= _LINE_CHARS else None


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
