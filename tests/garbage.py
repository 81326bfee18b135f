"""JSON that nobody meant, put somewhere into JSON that somebody did."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


def inside(value: Any) -> list[tuple[Any, Any]]:
    """(container, key) of everything inside a JSON value."""
    inner: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        inner = [(value, name) for name in value]
    elif isinstance(value, list):
        inner = [(value, place) for place in range(len(value))]
    return inner + [leaf for container, name in inner for leaf in inside(container[name])]
