"""What one process of the service does: some roles, in some lanes.

Processes share nothing but the servers, so roles may be spread over as many machines as wanted.
Together they have to do everything; nothing needs one process only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, TypeVar, get_args

import msgspec

from broker.topology import LANES
from canonical.envelope import Lane
from canonical.errors import Misconfigured

Role = Literal["translate", "decide", "dispatch", "upkeep", "console"]
"""translate: takes what sources send, and dead letters. decide: takes events of ours. dispatch:
makes the calls to target systems. upkeep: everything that goes by the clock. console: serves the
pages, where the configuration has [console].

Who translates or decides also takes unfinished rows; whoever commits publishes."""

ROLES: Final[tuple[Role, ...]] = get_args(Role)
_Word = TypeVar("_Word", bound=str)


class Share(msgspec.Struct, frozen=True):
    """A process's share of the work."""

    roles: frozenset[Role] = frozenset(ROLES)
    lanes: tuple[Lane, ...] = LANES

    @property
    def consumes(self) -> bool:
        """Whether it takes messages at all."""
        return not self.roles.isdisjoint(("translate", "decide"))


def share_of(roles: str, lanes: str) -> Share:
    """The share that two lists of words with commas name; an empty one means all.

    Raises: Misconfigured.
    """
    return Share(
        roles=frozenset(_chosen("--role", roles, ROLES)),
        lanes=_chosen("--lanes", lanes, LANES),
    )


def _chosen(option: str, text: str, known: Sequence[_Word]) -> tuple[_Word, ...]:
    if not text:
        return tuple(known)
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if word not in known:
            raise Misconfigured(
                "share-unknown",
                f"{option} has no {word!r}",
                where=option,
                remedy=f"Use some of {', '.join(known)}, with commas between them",
            )
    return tuple(word for word in known if word in words)
