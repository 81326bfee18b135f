"""Where messages of vendors stand, and what they are held to."""

from __future__ import annotations

from pathlib import Path

import msgspec

from canonical.effects import Effect, Emit

CORPUS = Path(__file__).parent


def golden(effects: tuple[Effect, ...]) -> str:
    """Effects as a golden has them: each event with its key and content."""
    said = [[e.event, e.key, e.data] for e in effects if isinstance(e, Emit)]
    return msgspec.json.format(msgspec.json.encode(said), indent=2).decode() + "\n"
