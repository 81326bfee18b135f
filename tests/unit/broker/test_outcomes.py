"""What is counted of messages whose fate is committed."""

from __future__ import annotations

from prometheus_client import generate_latest

from broker.decision import Verdict
from broker.intake import Arrival, Work, read_arrival
from broker.metrics import Metrics
from broker.outcomes import report
from broker.policy import Done
from canonical.envelope import Envelope, Message
from canonical.handler import Delivery, Handler, no_needs


def work(*ignored: str, source: str = "plm") -> Work:
    """A message of which these fields are read by nobody."""
    envelope = Envelope(id="1", source=source, type="toy.order", key="order/1")
    toy = Handler(
        name="toy",
        scope="flow",
        types=("toy.order",),
        read=lambda delivery: Message(envelope, None, ignored),
        needs=no_needs,
        decide=lambda message, facts, now: (),
    )
    arrival = Arrival(Delivery(source, "order", b"{}"), "standard", "in.plm.order.standard")
    return read_arrival(arrival, lambda delivery: toy)


def counted(*works: Work) -> list[str]:
    """The series of what nobody reads, after these messages."""
    metrics = Metrics()
    report(metrics, "standard", [Verdict(one, Done("applied")) for one in works], 0, 0.1)
    text = generate_latest(metrics.registry).decode()
    return [line for line in text.splitlines() if line.startswith("layshaft_ignored_parts_total{")]


def test_fields_that_nobody_reads_are_counted_by_handler_and_without_their_names() -> None:
    assert counted(work("colour", "lines[].size"), work("colour"), work()) == [
        'layshaft_ignored_parts_total{handler="toy",what="fields"} 3.0'
    ]


def test_where_everything_is_read_there_is_no_series() -> None:
    assert counted(work(), work()) == []
