"""Long computations beside the event loop, so that heartbeats and the other lanes go on.

A thread, not a process: what is computed are large values, and handing them from a process to
another takes as long as computing them, on the loop. Python code in a thread gives the loop its
turn every 5 ms.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# From here on a thread costs less than what the loop would miss.
MANY = 500


async def aside(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What the function returns; the event loop works on meanwhile."""
    return await asyncio.to_thread(function, *args, **kwargs)


async def aside_if(
    large: bool, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
) -> T:
    """What the function returns; computed here where that is quicker than handing it over."""
    if large:
        return await aside(function, *args, **kwargs)
    return function(*args, **kwargs)
