"""What is taken of a kind whose lane has changed, by what the broker says of its queues."""

from __future__ import annotations

import pytest

from broker.consumer import Inlet
from broker.succession import Lineage, next_to_take
from broker.topology import QueueState

NEW = Inlet("in.plm.stop.critical", "plm", "stop")
OLD = Inlet("in.plm.stop.standard", "plm", "stop")
OLDER = Inlet("in.plm.stop.enrichment", "plm", "stop")
LINEAGE = Lineage(NEW, (OLD, OLDER))
EMPTY, LEFT = QueueState(0, 1), QueueState(0, 0)


@pytest.mark.parametrize(
    ("states", "taken"),
    [
        pytest.param({}, (NEW,), id="it never had another lane"),
        pytest.param({OLD.queue: QueueState(3, 0)}, (OLD,), id="what came before goes first"),
        pytest.param({OLD.queue: QueueState(3, 2)}, (OLD,), id="beside those who take it still"),
        pytest.param({OLD.queue: EMPTY}, (), id="somebody may have some of it in hand"),
        pytest.param({OLD.queue: LEFT}, (NEW,), id="empty and left"),
        pytest.param(
            {OLD.queue: EMPTY, OLDER.queue: QueueState(1, 0)}, (OLDER,), id="of two, what holds"
        ),
        pytest.param({OLD.queue: LEFT, OLDER.queue: EMPTY}, (), id="of two, both are left"),
    ],
)
def test_the_queue_of_the_lane_before_goes_first(
    states: dict[str, QueueState], taken: tuple[Inlet, ...]
) -> None:
    assert next_to_take(LINEAGE, states) == taken
