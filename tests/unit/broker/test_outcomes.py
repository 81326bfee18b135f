"""What is counted of messages whose fate is committed."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any, cast

import pytest
from msgspec.structs import replace
from prometheus_client import generate_latest

from broker.decision import Verdict
from broker.intake import Arrival, Work, read_arrival
from broker.metrics import Metrics
from broker.outcomes import report
from broker.policy import Done
from broker.store import Position
from broker.sunset import Ending, refuse_ended
from canonical.codec import encode
from canonical.envelope import Deviation, Envelope, Message
from canonical.events import BY_TYPE, EVENTS, PREFIX, SOURCE
from canonical.handler import Delivery, Handler, no_needs
from canonical.supplier import Qualification, Supplier
from canonical.upcasts import UPCASTS
from handlers.flows.master_data import SUPPLIER_CHANGED


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


def an_event(version: int) -> Work:
    """A supplier that was told in that version of the event, as it is read."""
    row = EVENTS["supplier.changed"]
    body = encode(Supplier("S-1", "Bolt & Co", True, Qualification("qualified")))
    attributes = {
        "id": str(version),
        "source": SOURCE,
        "type": f"{PREFIX}{row.name}.v{version}",
        "subject": "supplier/S-1",
        "correlationid": "story",
    }
    delivery = Delivery(SOURCE, row.name, body, attributes=attributes)
    logged = Position(datetime(2026, 3, 1, tzinfo=UTC), version)
    arrival = Arrival(delivery, "standard", "supplier.changed.standard", logged=logged)
    return read_arrival(arrival, lambda delivery: SUPPLIER_CHANGED)


@pytest.fixture
def second_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """`supplier.changed` has a second version, to which a step leads."""
    row = EVENTS["supplier.changed"]
    present = replace(row, version=2)
    monkeypatch.setitem(BY_TYPE, row.type, (present, 1))
    monkeypatch.setitem(BY_TYPE, present.type, (present, 2))
    monkeypatch.setitem(cast(dict[Any, Any], UPCASTS), (row.name, 1), lambda content: content)


@pytest.mark.usefixtures("second_version")
def test_an_event_is_counted_by_the_version_that_was_sent() -> None:
    works = (an_event(1), an_event(1), an_event(2), work())
    assert [one.failure for one in works] == [None] * 4
    assert counted(*works, metric="layshaft_contract_messages_total") == [
        'layshaft_contract_messages_total{contract="com.layshaft.supplier.changed.v1",'
        'source="layshaft"} 2.0',
        'layshaft_contract_messages_total{contract="com.layshaft.supplier.changed.v2",'
        'source="layshaft"} 1.0',
        'layshaft_contract_messages_total{contract="toy.order",source="plm"} 1.0',
    ]


@pytest.mark.usefixtures("second_version")
def test_a_version_that_ends_is_refused_by_what_was_sent() -> None:
    old = EVENTS["supplier.changed"].type
    endings = {(SOURCE, old): Ending(SOURCE, old, date(2026, 3, 31), "operations")}
    now = datetime(2026, 4, 1, tzinfo=UTC)
    refused = refuse_ended(an_event(1), now=now, endings=endings)
    assert refused.failure is not None
    assert refused.failure.code == "contract-ended"
    assert refuse_ended(an_event(2), now=now, endings=endings).failure is None
