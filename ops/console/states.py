"""States of steps as people see them: pure."""

from __future__ import annotations

# Instead of the word in the table; every other one is shown as it is.
WORDS = {"decision": "to decide", "in_flight": "under way"}


def shown(kind: str, state: str) -> str:
    """The state: of a question that is asked, that somebody has to decide."""
    return "decision" if kind == "approval" and state == "ready" else state


def in_words(state: str) -> str:
    """The state as it stands beside its mark."""
    return WORDS.get(state, state.replace("_", " "))
