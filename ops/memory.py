"""Memory: when it goes back to the system, and how often the collector looks for leftovers."""

from __future__ import annotations

import ctypes
import gc

_M_MMAP_THRESHOLD = -3  # malloc.h
LARGE_BYTES = 256 * 1024
YOUNG_OBJECTS = 50_000


def give_large_blocks_back() -> None:
    """What is larger than LARGE_BYTES goes back to the system as soon as it is free.

    glibc keeps raising that limit with the largest block it has seen: after some bodies of 2 MiB
    the process would stay a third larger. Nothing happens with another C library.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)


def collect_rarely() -> None:
    """The collector looks after YOUNG_OBJECTS new objects, and never at what there is now.

    Who leaves much behind in circles has it look at once: connections that end, large contents.

    By default it looks after 700. A batch holds a hundred times that, all of it alive until its
    commit and hardly any of it in a circle (benchmarks/results/README.md says what that cost).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 10, 10)
