"""What is counted of messages whose fate is committed."""

from __future__ import annotations

from prometheus_client import generate_latest

from broker.decision import Verdict
from broker.intake import Arrival, Work, read_arrival
from broker.metrics import Metrics
from broker.outcomes import report
from broker.policy import Done
from canonical.envelope import Deviation, Envelope, Message
from canonical.handler import Delivery, Handler, no_needs


def work(*ignored: str, source: str = "plm", deviations: tuple[Deviation, ...] = ()) -> Work:
    """A message of which these fields are read by nobody."""
    envelope = Envelope(id="1", source=source, type="toy.order", key="order/1")
    toy = Handler(
        name="toy",
        scope="flow",
        types=("toy.order",),
        read=lambda delivery: Message(envelope, None, ignored, deviations),
        needs=no_needs,
        decide=lambda message, facts, now: (),
    )
    arrival = Arrival(Delivery(source, "order", b"{}"), "standard", "in.plm.order.standard")
    return read_arrival(arrival, lambda delivery: toy)


def counted(*works: Work, metric: str = "layshaft_ignored_parts_total") -> list[str]:
    """The series of what nobody reads, or another one, after these messages."""
    metrics = Metrics()
    report(metrics, "standard", [Verdict(one, Done("applied")) for one in works], 0, 0.1)
    text = generate_latest(metrics.registry).decode()
    return [line for line in text.splitlines() if line.startswith(f"{metric}{{")]


def test_fields_that_nobody_reads_are_counted_by_handler_and_without_their_names() -> None:
    assert counted(work("colour", "lines[].size"), work("colour"), work()) == [
        'layshaft_ignored_parts_total{handler="toy",what="fields"} 3.0'
    ]


def test_where_everything_is_read_there_is_no_series() -> None:
    assert counted(work(), work()) == []


def test_deviations_are_counted_by_the_source_that_can_mend_them() -> None:
    odd = Deviation("line 3", "No unit is stated: each")
    found = counted(
        work(deviations=(odd, odd)),
        work(source="erp", deviations=(odd,)),
        work(),
        metric="layshaft_deviations_total",
    )
    assert found == [
        'layshaft_deviations_total{handler="toy",source="plm"} 2.0',
        'layshaft_deviations_total{handler="toy",source="erp"} 1.0',
    ]
