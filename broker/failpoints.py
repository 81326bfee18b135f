"""Named places where a process can be made to die, stop or wait; nothing unless the environment
asks for it.

LAYSHAFT_FAILPOINTS="name:action:nth,..." with action kill, stop, abort, raise or sleep=<seconds>;
`nth` is the pass at which it acts, counted from 1.

There is one at every boundary where bytes leave or arrive. Each call stands under `if __debug__:`,
so that `python -O`, which production runs with, compiles it to nothing.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Mapping

from canonical.errors import Misconfigured

NAMES = (
    "amqp.delivered",
    "attempt.after_begin",
    "inbox.before_commit",
    "inbox.after_commit",
    "amqp.after_ack",
    "rows.after_begin",
    "rows.after_suspect",
    "rows.before_commit",
    "rows.after_commit",
    "begun.before_withdraw",
    "claim.after",
    "call.after_observe",
    "handler.before_effect",
    "http.after_send",
    "http.after_response",
    "token.after_fetch",
    "result.before_commit",
    "result.after_commit",
    "lapse.before_commit",
    "relay.after_claim",
    "relay.after_publish",
    "relay.after_confirm",
    "relay.after_mark",
    "relay.before_release",
    "relay.before_refuse",
    "partition.before_drop",
    "housekeeping.before_commit",
    "housekeeping.after_commit",
    "facts.before_commit",
    "herald.before_commit",
    "herald.after_commit",
    "escalation.before_commit",
    "escalation.after_commit",
    "replay.after_read",
    "replay.before_commit",
    "replay.after_commit",
    "replay.before_give_up",
    "package.after_chunk",
    "package.before_finish",
    "package.after_finish",
    "package.before_expire",
    "partitions.after_plan",
    "partitions.after_switch",
    "partitions.before_delete",
    "partitions.after_delete",
    "succession.before_delete",
    "leases.before_commit",
    "leases.after_commit",
    "command.before_commit",
    "command.after_commit",
)

_SLEEP = re.compile(r"sleep=\d+(\.\d+)?")


class FailPointHit(Exception):
    """Raised by the action `raise`."""


class FailPoints:
    """The armed points of one process."""

    def __init__(self, armed: Mapping[str, tuple[str, int]]) -> None:
        self._armed = dict(armed)
        self._passes: dict[str, int] = {}

    @classmethod
    def parse(cls, text: str) -> FailPoints:
        """From the environment's text; unknown names are refused, a typo must not pass silently.

        Raises: Misconfigured where fail points are asked for and were compiled away.
        """
        if text and not __debug__:
            raise Misconfigured(
                "failpoints-compiled-away",
                "Fail points are armed, and this process runs optimized (python -O), without them",
                where="LAYSHAFT_FAILPOINTS",
                remedy="Unset it; to test with fail points, run without -O and PYTHONOPTIMIZE",
            )
        armed: dict[str, tuple[str, int]] = {}
        for part in filter(None, (p.strip() for p in text.split(","))):
            name, action, nth = part.split(":")
            if name not in NAMES:
                raise ValueError(f"no fail point {name!r}; known: {', '.join(NAMES)}")
            if action not in ("kill", "stop", "abort", "raise") and not _SLEEP.fullmatch(action):
                raise ValueError(f"fail point {name}: no action {action!r}")
            if int(nth) < 1:
                raise ValueError(f"fail point {name}: passes are counted from 1")
            armed[name] = (action, int(nth))
        return cls(armed)

    def is_armed(self, name: str) -> bool:
        """Whether the point `name` will act or has acted."""
        return name in self._armed

    async def __call__(self, name: str) -> None:
        """Passes the point `name`; acts on the armed pass."""
        if name not in self._armed:
            return
        action, nth = self._armed[name]
        self._passes[name] = self._passes.get(name, 0) + 1
        if self._passes[name] != nth:
            return
        if action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif action == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif action == "abort":
            os.abort()
        elif action == "raise":
            raise FailPointHit(name)
        else:
            await asyncio.sleep(float(action.removeprefix("sleep=")))
