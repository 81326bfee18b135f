"""Who buys: info records, orders and contracts of S/4HANA have to say so when they are created; it
is the buyers' afterwards."""

from __future__ import annotations

from collections.abc import Iterable

from canonical.errors import Misconfigured


def buying_group(named: str, plants: Iterable[str], where: str) -> str:
    """The purchasing group that is named for these plants; "" among them stands for all plants.

    Raises: Misconfigured where none is: which one the ERP has is nowhere to be read.
    """
    if named:
        return named
    codes = sorted(set(plants))
    is_for_all = not codes or "" in codes
    central = "`central_purchasing_group` in [rules]"
    if is_for_all:
        whom, setting = "all plants", central
    elif len(codes) == 1:
        whom, setting = f"plant {codes[0]}", "`purchasing_group` in its [[rules.plants]]"
    else:
        whom = f"plants {', '.join(codes)}"
        setting = f"one `purchasing_group` for all of them in [[rules.plants]], or {central}"
    raise Misconfigured(
        "purchasing-group-missing",
        f"Nobody is named who buys for {whom}: the ERP has to be told a purchasing group",
        where=where,
        remedy=f"Set {setting}; then state it again, or replay its message",
    )
