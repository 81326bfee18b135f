"""Where messages of vendors stand, and what they are held to."""

from __future__ import annotations

from pathlib import Path

from canonical.effects import Effect
from ops.mapping.entries import entries, golden_text

CORPUS = Path(__file__).parent


def golden(effects: tuple[Effect, ...]) -> str:
    """Effects as a golden has them, which is how `layshaft map record` writes them."""
    return golden_text(entries(effects))
