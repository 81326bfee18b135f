"""The C library's allocator, told to give memory back."""

from __future__ import annotations

import ctypes

_M_MMAP_THRESHOLD = -3  # malloc.h
LARGE_BYTES = 256 * 1024


def give_large_blocks_back() -> None:
    """What is larger than LARGE_BYTES goes back to the system as soon as it is free.

    glibc keeps raising that limit with the largest block it has seen: after some bodies of 2 MiB
    the process would stay a third larger. Nothing happens with another C library.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
