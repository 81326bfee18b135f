"""What became of messages, in words: table column, metric label, log line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import structlog

from broker.decision import Verdict
from broker.intake import UNREAD
from broker.metrics import Metrics
from broker.policy import Behind, DeadLetter, Disposition, Done, Invalid, Park, RetryAt
from canonical.envelope import Lane

log = structlog.get_logger(__name__)


def report(
    metrics: Metrics, lane: Lane, verdicts: Sequence[Verdict], repeats: int, duration_s: float
) -> None:
    """One line per batch, and one per message that did not end in Done."""
    metrics.batch_seconds.labels(lane).observe(duration_s)
    settled: Counter[tuple[str, str]] = Counter()
    sent: Counter[tuple[str, str]] = Counter()
    for verdict in verdicts:
        work = verdict.work
        handler = work.handler.name if work.handler else UNREAD
        word = outcome_word(verdict.fate)
        settled[handler, word] += 1
        # Once, when it comes; of what cannot be read nobody knows what it was sent as.
        if work.handler and not work.pending:
            sent[work.entry.envelope.source, work.entry.envelope.type] += 1
            for what, number in work.ignored.items():
                metrics.ignored.labels(handler, what).inc(number)
            if work.message and work.message.deviations:
                number = len(work.message.deviations)
                metrics.deviations.labels(work.entry.envelope.source, handler).inc(number)
        if not isinstance(verdict.fate, Done):
            log.warning(
                "not done",
                id=work.entry.envelope.id,
                correlation_id=work.entry.envelope.correlation_id,
                subject=work.entry.envelope.key,
                handler=handler,
                attempt=work.attempt,
                disposition=word,
                reason=_reason(verdict.fate),
                exc_info=_defect(verdict.fate),
            )
    for (handler, word), number in settled.items():
        metrics.settled.labels(handler, word).inc(number)
    for (source, contract), number in sent.items():
        metrics.contract_messages.labels(source, contract).inc(number)
    log.debug(
        "batch",
        lane=lane,
        messages=len(verdicts),
        repeats=repeats,
        duration_s=round(duration_s, 4),
    )


def not_applied(verdicts: Sequence[Verdict]) -> dict[tuple[str, str, str], str]:
    """Outcomes worth a word in the inbox; the others are `applied` by default."""
    words = {v.work.entry.identity: outcome_word(v.fate) for v in verdicts}
    retried = {v.work.entry.identity for v in verdicts if v.work.pending is not None}
    return {i: word for i, word in words.items() if word != "applied" or i in retried}


def outcome_word(fate: Disposition) -> str:
    """The disposition in one word, for tables and labels."""
    match fate:
        case Done(outcome):
            return outcome
        case RetryAt():
            return "retry"
        case Park():
            return "parked"
        case Invalid():
            return "invalid"
        case Behind():
            return "behind"
        case DeadLetter():
            return "dead-letter"


def _reason(fate: Disposition) -> str:
    match fate:
        case Park(failure) | Invalid(failure) | DeadLetter(failure):
            return f"{failure.code}: {failure.what}"
        case RetryAt(reason=reason):
            return reason
        case _:
            return ""


def _defect(fate: Disposition) -> BaseException | None:
    """The traceback belongs into the log only where the failure is ours."""
    return fate.failure.__cause__ if isinstance(fate, DeadLetter) else None
