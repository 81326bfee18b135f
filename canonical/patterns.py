"""How critical it is that something is known decides how it is exchanged: asked and waited for,
told when it happens, or taken with others later. And what is asked and waited for, a row each.

What is told has its rows in canonical/events.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

Criticality = Literal["blocking", "critical", "standard", "enrichment"]
"""The lanes of events, and above them what no lane is fast enough for."""

Pattern = Literal["synchronous", "event", "batch"]


class Grade(msgspec.Struct, frozen=True):
    """What a criticality means, the pattern that follows from it, and why it does."""

    means: str
    pattern: Pattern
    why: str


GRADES: Mapping[Criticality, Grade] = {
    "blocking": Grade(
        "Whoever asks must not go on before the answer",
        "synchronous",
        "Going on would lose something, or do it twice or to the wrong thing; hearing of it later"
        " mends nothing",
    ),
    "critical": Grade(
        "A line stands still, or builds or ships what it must not, while it is not known",
        "event",
        "It is heard when it happens, in a lane that nothing else holds up; no one system can wait"
        " for all that have to hear of it",
    ),
    "standard": Grade(
        "Work waits for it, or goes the wrong way meanwhile",
        "event",
        "It is heard when it happens; who tells it waits for nobody, and who is away hears of it"
        " later",
    ),
    "enrichment": Grade(
        "Nothing waits for it",
        "batch",
        "Later is soon enough, and many together cost less",
    ),
}


class RequestReply(msgspec.Struct, frozen=True):
    """A row of what is asked and waited for.

    asks: who waits. answer: for what. owner: team that answers for its meaning. why: what would go
    wrong without waiting. kept_in: the file of ours that waits, or makes them wait.
    """

    name: str
    asks: str
    answer: str
    owner: str
    why: str
    kept_in: str
    criticality: Criticality = "blocking"

    @property
    def pattern(self) -> Pattern:
        """As its criticality decides."""
        return GRADES[self.criticality].pattern


_OPS = "operations"

REQUEST_REPLIES: tuple[RequestReply, ...] = (
    RequestReply(
        "message.published",
        "A source that publishes a message, persistent and mandatory",
        "The broker's confirm; what no queue takes comes back instead",
        _OPS,
        "Until then the message is the source's to send again: one that it takes for sent and"
        " nobody holds is lost",
        "ops/cli/publish.py",
    ),
    RequestReply(
        "event.published",
        "Layshaft, of each event that it publishes, persistent and mandatory",
        "The broker's confirm, within `deadlines.confirm_s`",
        _OPS,
        "An event that is struck off and that no queue holds would never be heard",
        "broker/publisher.py",
    ),
    RequestReply(
        "content.put",
        "A source with content that is too large for a message (`layshaft package put`)",
        "Reference, size and SHA-256, once all of it is stored",
        _OPS,
        "The message that refers to it could come first, and would be refused",
        "broker/packages.py",
    ),
    RequestReply(
        "content.got",
        "A subscriber that was told where the content of a large event stands (`ce-dataref`,"
        " `layshaft package get`)",
        "The content as it stands in the log",
        _OPS,
        "Without its content an event says only that something happened",
        "ops/cli/package.py",
    ),
    RequestReply(
        "target.read",
        "Layshaft, before each write to a target system",
        "The object as the target holds it, found by its natural key",
        _OPS,
        "What is there already would be written twice, and what the last lost answer did as well",
        "broker/dispatcher.py",
    ),
    RequestReply(
        "target.written",
        "Layshaft, of each write to a target system",
        "That the target took or refused it; a lost answer is looked up before anything is sent"
        " again",
        _OPS,
        "Steps that hang on it would build on what is not there",
        "broker/dispatcher.py",
    ),
    RequestReply(
        "approval.decided",
        "A person who approves or rejects, by the digest of what was shown (`layshaft task`)",
        "That it is on record, or that something else is asked by now or somebody has decided",
        _OPS,
        "A decision holds for what was read, once, and for nothing else",
        "broker/approvals.py",
    ),
    RequestReply(
        "case.decided",
        "A person who has a case tried again or lets it go (`layshaft case`)",
        "That it is so, or that the case is not open any more",
        _OPS,
        "Two people would mend one thing in two ways",
        "broker/cases.py",
    ),
)
