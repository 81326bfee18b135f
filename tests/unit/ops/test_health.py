"""What /readyz says."""

from __future__ import annotations

import json
from collections.abc import Mapping

from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from ops.health import HOLDS, TROUBLE, readyz


async def asked(trouble: Mapping[str, str], *holds: str) -> tuple[int, object]:
    """Status and content of the page where the parts say this of themselves."""
    app = web.Application()
    app[TROUBLE] = lambda: trouble
    app[HOLDS] = lambda: holds
    answer = await readyz(make_mocked_request("GET", "/readyz", app=app))
    assert isinstance(answer.body, bytes)
    return answer.status, json.loads(answer.body)


async def test_a_part_in_trouble_is_named_and_not_ready() -> None:
    assert await asked({"relay": "RabbitMQ is away", "upkeep": ""}) == (
        503,
        {"ready": False, "trouble": {"relay": "RabbitMQ is away"}, "holds": []},
    )


async def test_without_trouble_it_is_ready() -> None:
    assert await asked({"relay": ""}) == (200, {"ready": True, "trouble": {}, "holds": []})


async def test_a_hold_is_said_and_no_trouble() -> None:
    held = "system erp: maintenance, by ada since 2026-03-02 09:30:00 UTC"
    assert await asked({"relay": ""}, held) == (
        200,
        {"ready": True, "trouble": {}, "holds": [held]},
    )
