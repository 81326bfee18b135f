"""How the content of an earlier version of an event is read as the present one: a function a step.

Old versions stay in the log for as long as it goes back, and with whoever has not changed yet. A
step takes the JSON of one version and gives that of the next; nothing else knows old versions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Content = dict[str, Any]
Upcast = Callable[[Content], Content]
Upcasts = Mapping[tuple[str, int], Upcast]

# (event, version) -> its content as that of the next version.
UPCASTS: Upcasts = {}


def to_present(
    content: Content, event: str, *, version: int, present: int, upcasts: Upcasts = UPCASTS
) -> Content:
    """The content of that version as the present version has it.

    Raises: KeyError where a step is missing, which a test does not let happen.
    """
    for number in range(version, present):
        content = upcasts[event, number](content)
    return content


def earlier_versions(event: str, *, present: int, upcasts: Upcasts = UPCASTS) -> tuple[int, ...]:
    """Versions before the present one that can still be read, oldest first."""
    versions: list[int] = []
    while (event, present - 1 - len(versions)) in upcasts:
        versions.append(present - 1 - len(versions))
    return tuple(reversed(versions))
