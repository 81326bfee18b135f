"""MaterialBOM as it was read back, in all its states: the BOM that a plant builds by on the day of
the read. Sub-items, which hold points of installation, are not read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime

from canonical.bom import BomLine, BomNote, PlantBomState
from canonical.effects import Open
from canonical.errors import InvalidMessage
from canonical.own_words import OwnWords
from canonical.quantity import Quantity
from canonical.text import received_id
from handlers.systems.answers import printable
from handlers.systems.s4.compare import text_of, unpadded
from handlers.systems.s4.native_read import BomState, BomStateItem, Said
from handlers.systems.s4.values import Findings, day, key, key_or_none, number, place, prose, unit
from handlers.systems.s4.words import CLASS_LINE, WITHOUT_COMPONENT
from handlers.systems.timestamps import microseconds


def to_bom(
    states: Sequence[BomState], read_at: datetime, own: OwnWords
) -> tuple[PlantBomState | None, tuple[Open, ...]]:
    """The BOM as it is on the day of the read, and cases for what a person has to look at; no BOM
    where none of its states is valid on that day.

    It is as new as its read: a line that was deleted takes the time of the deletion along.
    Raises: InvalidMessage where it has versions, where its states do not say what holds today, or
        a unit or number cannot be understood: a BOM without one of its lines would be another BOM.
    """
    today = read_at.date()
    _check_versions(states)
    head = _valid_head(states, today)
    if head is None:
        return None, (_not_valid(states, today),)
    found = Findings(f"BOM of {_parent(head)} in plant {text_of(head.Plant)}")
    items = _valid_items(head, today)
    _check_whole(items, states, head, today)
    made_by = [(head.EngineeringChangeDocument, _starts(head))]
    made_by += [(item.EngineeringChangeDocument, _begins(item)) for item in items]
    text = prose(head.BOMAlternativeText, where="BOMAlternativeText")
    return (
        PlantBomState(
            plant=prose(head.Plant, where="Plant"),
            parent=_parent(head),
            usage=key(head.BillOfMaterialVariantUsage, where="BillOfMaterialVariantUsage"),
            alternative=key(head.BillOfMaterialVariant, where="BillOfMaterialVariant"),
            version=microseconds(read_at),
            base=_base(head, own),
            lines=tuple(_to_line(item, own) for item in items if _component(item)),
            notes=tuple(_notes(items, found)),
            change=_change(made_by),
            valid_from=max((on for _, on in made_by if on), default=None),
            status=prose(head.BillOfMaterialStatus, where="BillOfMaterialStatus"),
            text=text or prose(head.BOMHeaderText, where="BOMHeaderText"),
            is_deleted=head.IsMarkedForDeletion is True,
            source_id=received_id(text_of(head.Material), where="Material"),
            stated_at=read_at,
        ),
        tuple(found.cases),
    )


def _parent(head: BomState) -> str:
    return key(head.Material, where="Material")


def _check_versions(states: Iterable[BomState]) -> None:
    stated = next((s for s in states if text_of(s.BillOfMaterialVersion).strip()), None)
    if stated is not None:
        raise InvalidMessage(
            "bom-with-versions",
            "The BOM has versions, and which of them counts is not told",
            where="BillOfMaterialVersion",
            remedy="Have the BOM sent as an IDoc (BOMMAT)",
        )


def _valid_head(states: Sequence[BomState], today: date) -> BomState | None:
    """Of the states that are valid today the one that began last."""
    valid = [s for s in states if _is_within(today, _starts(s), _ends(s))]
    if not valid:
        return None
    last = max(_starts(state) or date.min for state in valid)
    found = [state for state in valid if (_starts(state) or date.min) == last]
    if len(found) > 1:
        raise _unclear("The header", where="HeaderValidityStartDate")
    return found[0]


def _valid_items(head: BomState, today: date) -> list[BomStateItem]:
    """The lines of today in the order of their numbers, which the service need not keep; of two
    states of one line the one that began last."""
    found: dict[str, BomStateItem] = {}
    for item in head.to_BillOfMaterialItem.results:
        if not _is_valid(item, today):
            continue
        known = found.get(_node(item))
        if known is None:
            found[_node(item)] = item
            continue
        before, now = (_begins(one) or date.min for one in (known, item))
        if before == now:
            raise _unclear(_named(item), where=f"{_named(item)}: ValidityStartDate")
        if now > before:
            found[_node(item)] = item
    return sorted(found.values(), key=lambda item: place(item.BillOfMaterialItemNumber))


def _check_whole(
    items: Sequence[BomStateItem], states: Iterable[BomState], head: BomState, today: date
) -> None:
    """That no line of today stands under another state only: how the service deals lines out to
    the states of their header is not documented, and none may get lost."""
    nodes = {_node(item) for item in items}
    for state in states:
        for item in state.to_BillOfMaterialItem.results:
            if state is not head and _is_valid(item, today) and _node(item) not in nodes:
                raise _unclear(_named(item), where=f"{_named(item)}: HeaderChangeDocument")


def _is_valid(item: BomStateItem, today: date) -> bool:
    return item.IsDeleted is not True and _is_within(today, _begins(item), _expires(item))


def _is_within(today: date, first_day: date | None, last_day: date | None) -> bool:
    return (first_day is None or first_day <= today) and (last_day is None or today <= last_day)


def _starts(state: BomState) -> date | None:
    return day(state.HeaderValidityStartDate, where="HeaderValidityStartDate")


def _ends(state: BomState) -> date | None:
    return day(state.HeaderValidityEndDate, where="HeaderValidityEndDate")


def _begins(item: BomStateItem) -> date | None:
    return day(item.ValidityStartDate, where=f"{_named(item)}: ValidityStartDate")


def _expires(item: BomStateItem) -> date | None:
    return day(item.ValidityEndDate, where=f"{_named(item)}: ValidityEndDate")


def _node(item: BomStateItem) -> str:
    """What a line is known by through its changes, which may give it another node."""
    inherited = unpadded(text_of(item.InheritedNodeNumberForBOMItem).strip())
    if inherited not in ("", "0"):
        return inherited
    return key(item.BillOfMaterialItemNodeNumber, where="BillOfMaterialItemNodeNumber")


def _named(item: BomStateItem) -> str:
    return f"line {printable(text_of(item.BillOfMaterialItemNumber)[:10])}"


def _base(head: BomState, own: OwnWords) -> Quantity:
    base = _quantity(
        head.BOMHeaderQuantityInBaseUnit,
        head.BOMHeaderBaseUnit,
        own,
        "BOMHeaderQuantityInBaseUnit",
        "BOMHeaderBaseUnit",
    )
    if base.value <= 0:
        raise InvalidMessage(
            "base-quantity",
            f"The base quantity is {base.value}; lines cannot be divided by it",
            where="BOMHeaderQuantityInBaseUnit",
            remedy="State how much of the material the lines are for",
        )
    return base


def _quantity(said: Said, unit_said: Said, own: OwnWords, where: str, unit_where: str) -> Quantity:
    if not text_of(said):
        raise _incomplete("A quantity is missing", where=where)
    return Quantity(number(said, where=where), unit(unit_said, own, where=unit_where))


def _component(item: BomStateItem) -> str:
    where = f"{_named(item)}: BillOfMaterialComponent"
    return key_or_none(item.BillOfMaterialComponent, where=where)


def _position(item: BomStateItem) -> str:
    where = f"{_named(item)}: BillOfMaterialItemNumber"
    return unpadded(prose(item.BillOfMaterialItemNumber, where=where))


def _to_line(item: BomStateItem, own: OwnWords) -> BomLine:
    where = _named(item)
    return BomLine(
        position=_position(item),
        component=_component(item),
        quantity=_quantity(
            item.BillOfMaterialItemQuantity,
            item.BillOfMaterialItemUnit,
            own,
            f"{where}: BillOfMaterialItemQuantity",
            f"{where}: BillOfMaterialItemUnit",
        ),
        fixed=item.FixedQuantity is True,
        note=_words(item, "BOMItemDescription", "BOMItemText2"),
    )


def _words(item: BomStateItem, *names: str) -> str:
    said = (text_of(getattr(item, name)) for name in names)
    return prose(" ".join(filter(None, said)), where=f"{_named(item)}: {', '.join(names)}")


def _notes(items: Sequence[BomStateItem], found: Findings) -> Iterator[BomNote]:
    """Lines without a component. Alternative components are lines, which a case tells of."""
    groups: set[str] = set()
    for item in items:
        group = text_of(item.AlternativeItemGroup).strip()
        if group and group not in groups:
            groups.add(group)
            found.add(_alternatives(item, group))
        if _component(item):
            continue
        category = text_of(item.BillOfMaterialItemCategory)
        known = WITHOUT_COMPONENT.get(category)
        if known is None:
            where = f"{_named(item)}: BillOfMaterialComponent"
            raise _incomplete("The line has no component", where=where)
        if category == CLASS_LINE:
            found.add(_chosen_later(item))
        kind, names = known
        yield BomNote(_position(item), kind, _words(item, *names))


def _change(made_by: Iterable[tuple[Said, date | None]]) -> str:
    """The change with the latest day: it made the BOM what it is."""
    dated = [(on or date.min, text_of(change)) for change, on in made_by if text_of(change).strip()]
    if not dated:
        return ""
    _, latest = max(dated, key=lambda pair: pair[0])
    return key(latest, where="EngineeringChangeDocument")


def _not_valid(states: Sequence[BomState], today: date) -> Open:
    parent, plant = _parent(states[0]), text_of(states[0].Plant)
    return Open(
        code="bom-not-valid",
        word="business_rule",
        what=f"On {today} the BOM of {parent} is not valid; what is on record of it stays",
        where=f"BOM of {parent} in plant {printable(plant[:10])}",
        remedy="Have it read again once it is valid: change it in the ERP on that day",
        owner="master data",
    )


def _alternatives(item: BomStateItem, group: str) -> InvalidMessage:
    return InvalidMessage(
        "bom-alternatives",
        f"Components of group {printable(group[:10])} are alternatives; each is taken as if it was"
        " used",
        where=f"{_named(item)}: AlternativeItemGroup",
        remedy="Keep in mind that only one of them is used",
    )


def _chosen_later(item: BomStateItem) -> InvalidMessage:
    return InvalidMessage(
        "bom-class",
        "A class stands for components that are chosen later; no line is made of it",
        where=f"{_named(item)}: BillOfMaterialItemCategory",
        remedy="Have the BOM of the configured material kept in the ERP",
    )


def _unclear(what: str, *, where: str) -> InvalidMessage:
    return InvalidMessage(
        "bom-with-history",
        f"{what} has several states, and which of them holds is not told",
        where=where,
        remedy="Have the BOM sent as an IDoc (BOMMAT), which tells of one day",
    )


def _incomplete(what: str, *, where: str) -> InvalidMessage:
    return InvalidMessage("bom-incomplete", what, where=where, remedy="Complete the BOM in the ERP")
