"""Fail points do nothing unless they are named, and then exactly once."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from broker.failpoints import NAMES, FailPointHit, FailPoints


async def test_nothing_armed_does_nothing() -> None:
    points = FailPoints.parse("")
    for name in NAMES:
        await points(name)


async def test_a_point_acts_on_its_pass_and_only_on_that_one() -> None:
    points = FailPoints.parse("claim.after:raise:3")
    await points("claim.after")
    await points("http.after_send")
    await points("claim.after")
    with pytest.raises(FailPointHit, match=r"claim\.after"):
        await points("claim.after")
    await points("claim.after")


async def test_several_points_are_armed_at_once() -> None:
    points = FailPoints.parse(" claim.after:raise:1 , http.after_send:sleep=0:1,")
    await points("http.after_send")
    with pytest.raises(FailPointHit):
        await points("claim.after")


@pytest.mark.parametrize(
    "text",
    ["claim.befor:kill:1", "claim.after:kil:1", "claim.after:kill:0", "claim.after:kill:once",
     "claim.after:kill", "claim.after:sleep=long:1"],
)  # fmt: skip
def test_a_typo_is_refused_when_it_is_read(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        FailPoints.parse(text)


@pytest.mark.parametrize(
    ("action", "number"), [("kill", signal.SIGKILL), ("abort", signal.SIGABRT)]
)
def test_kill_and_abort_end_the_process_without_a_word(action: str, number: signal.Signals) -> None:
    code = (
        "import asyncio; from broker.failpoints import FailPoints;"
        f"asyncio.run(FailPoints.parse('claim.after:{action}:1')('claim.after')); print('alive')"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (ended.returncode, ended.stdout) == (-number, b"")
