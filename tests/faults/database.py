"""What the tests of PostgreSQL's faults have in common."""

from __future__ import annotations

from tests.faults.conftest import is_full
from tests.faults.load import Size
from tests.faults.world import World

RESTART_BOUND_S = 15.0
SESSIONS = "datname = current_database() and application_name like 'layshaft-%'"


def lasting(seconds: float) -> Size:
    """A load that goes on for the whole of a fault of so many seconds and somewhat longer."""
    if is_full():
        return Size(rate=20, seconds=seconds + 15, keys=200, instances=2)
    return Size(rate=40, seconds=seconds + 4, keys=40, judged_again=False)


async def require_no_attempt_burnt(world: World) -> None:
    """The weather is nobody's fault: no message was put off or refused, no call was given up."""
    said = [line for i in world.instances for line in i.log.read_text().splitlines()]
    assert [line for line in said if '"not done"' in line] == []
    assert await world.column("select code from exception_case") == []
