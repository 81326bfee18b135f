"""`layshaft topology` as people and scripts use it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import aio_pika
import msgspec
import pytest

from broker.topology import LANES, queue_states
from tests.integration.test_cli import configuration
from tests.integration.test_cli_package import Command, layshaft

__all__ = ["layshaft"]

EVENT = "engineering-change.released"


def messages(amqp_url: str, *queues: str) -> list[int]:
    """How much waits in each."""

    async def look() -> list[int]:
        async with await aio_pika.connect(amqp_url) as connection:
            found = await queue_states(connection, queues)
            return [found[name].messages for name in queues]

    return asyncio.run(look())


def test_an_event_is_split_and_shown(layshaft: Command, amqp_url: str) -> None:
    exit_code, out, err = layshaft("topology", "partitions", EVENT, "2")
    assert exit_code == 0
    assert out == f"{EVENT} has 2 partitions in every lane now (ring 1)\n"
    assert err == f"What came before drains beside them: layshaft topology show {EVENT}\n"
    rings = [f"{EVENT}.{lane}.r1.p{n}" for lane in LANES for n in (0, 1)]
    assert messages(amqp_url, *rings) == [0] * 6
    exit_code, out, _ = layshaft("topology", "show", EVENT, "-o", "json")
    assert exit_code == 0
    shown = msgspec.json.decode(out)
    assert {row["queue"]: row["state"] for row in shown} == {
        **{f"{EVENT}.{lane}": "draining" for lane in LANES},
        **dict.fromkeys(rings, "current"),
    }
    assert shown[0] == {
        "event": EVENT,
        "lane": "critical",
        "queue": f"{EVENT}.critical",
        "ring": None,
        "state": "draining",
        "messages": 0,
        "consumers": 0,
        "taken_by": "",
    }
    _, out, _ = layshaft("topology", "show")
    assert out.splitlines()[0].split() == ["queue", "state", "messages", "consumers"]
    _, out, _ = layshaft("doctor", "-o", "json")
    checks = {check["code"]: check["state"] for check in msgspec.json.decode(out)}
    assert checks["topology"] == "ok"


@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        ((EVENT, "0"), 2, "an event has 1 to 64"),
        ((EVENT, "65"), 2, "an event has 1 to 64"),
        ((EVENT, "many"), 2, "many"),
        (("change.released", "2"), 4, EVENT),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(
    layshaft: Command, arguments: tuple[str, ...], exit_code: int, said: str
) -> None:
    code, out, err = layshaft("topology", "partitions", *arguments)
    assert (code, out) == (exit_code, "")
    assert said in err


def test_a_broker_that_is_away_is_named(
    layshaft: Command, tmp_path: Path, database_url: str, amqp_url: str
) -> None:
    nowhere = urlsplit(amqp_url)._replace(netloc="guest:guest@127.0.0.1:9").geturl()
    configuration(tmp_path, database_url, nowhere)
    for command in (("partitions", EVENT, "2"), ("show", EVENT)):
        exit_code, out, err = layshaft("topology", *command)
        assert (exit_code, out) == (3, "")
        assert "LAY-broker-unreachable" in err
