"""An engineering change and what it affects, as a package states them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from canonical.change import AffectedItem, Disposition, EngineeringChange, change_key
from canonical.effectivity import DateEffectivity
from handlers.systems.pdx.words import DISPOSITION_FIELD, PHASE_OF, STATUS_OF_CHANGE
from handlers.systems.pdx.writing import (
    custom,
    element,
    group,
    identifier,
    inexpressible,
    joined,
    label,
    optional,
    shown,
    text,
    time_text,
)


def change_element(change: EngineeringChange, ids: Mapping[str, str]) -> str:
    """XML text of the change; ids: XML ids of the items that the package has, by number.

    Raises: InvalidMessage, naming change, item and field, for what no package can say.
    """
    where = shown(change_key(change.number))
    dates = _dates(change, where)
    return element(
        "Change",
        {
            "changeNumber": identifier(change.number, f"{where} number"),
            "changeOriginatedByName": optional(change.requester, f"{where} requester"),
            "globalEngineeringChangeStatusCode": STATUS_OF_CHANGE[change.status],
            "changeStatusDate": time_text(change.released_at),
            "changeType": optional(change.category, f"{where} category"),
            "changeReason": optional(change.description, f"{where} description"),
            "description": optional(change.title, f"{where} title"),
        },
        (
            custom(
                {
                    "Urgency": text(change.urgency, f"{where} urgency"),
                    "Product Line": text(change.family, f"{where} family"),
                    "Plants": joined(change.plants, f"{where} plants"),
                }
            ),
            group("AffectedItems", [_affected(row, dates, ids, where) for row in change.affected]),
        ),
    )


def _dates(change: EngineeringChange, where: str) -> Mapping[str, str]:
    """The dates that all affected items share, both of which are required; "" where the change
    holds on its release, and where it has no end."""
    where = f"{where} effectivity"
    effectivity = change.effectivity
    if effectivity is None:
        return {"obsoleteDate": "", "effectiveDate": ""}
    if not isinstance(effectivity, DateEffectivity):
        raise inexpressible("it becomes effective by serial or lot number", where)
    if not change.affected:
        raise inexpressible("its date stands with the affected items, of which it has none", where)
    return {
        "obsoleteDate": time_text(effectivity.end) or "",
        "effectiveDate": time_text(effectivity.start) or "",
    }


def _affected(
    row: AffectedItem, dates: Mapping[str, str], ids: Mapping[str, str], where: str
) -> str:
    where = f"{where} item/{shown(row.item)}"
    phase = None if row.lifecycle is None else PHASE_OF.get(row.lifecycle)
    if row.lifecycle is not None and phase is None:
        raise inexpressible(f"no phase means {row.lifecycle}", f"{where} lifecycle")
    fields = _dispositions(row.dispositions, f"{where} dispositions")
    old = label(row.old_revision, f"{where} old_revision") if row.old_revision else None
    return element(
        "AffectedItem",
        {
            "itemIdentifier": identifier(row.item, f"{where} item"),
            "itemUniqueIdentifier": ids.get(row.item),
            "manufacturingSite": joined(row.plants, f"{where} plants") or None,
            "oldRevision": old,
            "newRevision": label(row.new_revision, f"{where} new_revision"),
            **dates,
            # For readers who know no custom fields; ours takes the field where there is one.
            "disposition": fields.get(DISPOSITION_FIELD["in_stock"]) or None,
            "globalLifeCyclePhaseCode": phase,
        },
        (custom(fields),),
    )


def _dispositions(stated: Iterable[Disposition], where: str) -> dict[str, str]:
    """Custom fields of what becomes of stock; one without an action says nothing."""
    fields: dict[str, str] = {}
    for disposition in stated:
        name = DISPOSITION_FIELD[disposition.stock]
        if name in fields:
            raise inexpressible(f"two things are to happen to {disposition.stock}", where)
        fields[name] = text(disposition.action, where)
    return fields
