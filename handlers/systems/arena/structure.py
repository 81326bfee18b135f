"""The BOM of an Arena item revision, with the substitutes of its lines where they were sent, and
where it is not as the settings have it that were sent with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

import msgspec

from canonical.bom import Bom, BomLine, Substitute
from canonical.designators import Ranges
from canonical.envelope import Deviation
from canonical.errors import InvalidMessage, Unavailable
from canonical.facts import Facts
from canonical.item import Item
from canonical.own_words import OwnWords
from canonical.quantity import Quantity, plain_decimal
from canonical.text import MAX_ID_CHARS, normalise_id, normalise_text
from canonical.units import to_rec20
from handlers.systems.arena.native import BomRow, ItemRevision, ItemStatement, SubstituteRow
from handlers.systems.arena.values import NUMBER
from handlers.systems.arena.words import UNITS

# (place in the statement, the substitute)
_Placed = tuple[str, SubstituteRow]


def items_looked_up(statement: ItemStatement) -> Iterator[tuple[str, str]]:
    """Numbers of the items that tell on record in which unit they are counted: of substitutes, and
    of components where none are sent; each with its place."""
    for place, row in enumerate(statement.bom.results if statement.components is None else ()):
        yield row.item.number, f"{_line(place)}.item.number"
    for at, listed in enumerate(statement.substitutes or ()):
        for n, one in enumerate(listed.results):
            yield one.item.number, f"{_substitute(at, n)}.item.number"


def to_bom(statement: ItemStatement, item: Item, facts: Facts, own: OwnWords) -> Bom:
    """The BOM of the item. own: words of the installation.

    Raises: InvalidMessage for numbers and units that cannot be understood, and for substitutes of
        no line; Unavailable while a component, whose unit counts, is not known.
    """
    components, ranges = _Components(statement, facts, own), Ranges()
    substitutes = _substitutes(statement)
    return Bom(
        parent=item.number,
        revision=item.revision.label,
        base=Quantity(Decimal(1), item.base_unit),
        lines=tuple(
            _to_line(row, substitutes.get(row.guid or "", ()), components, ranges, _line(place))
            for place, row in enumerate(statement.bom.results)
        ),
        released_at=item.released_at,
        stated_at=item.stated_at,
    )


def deviations(statement: ItemStatement) -> Iterator[Deviation]:
    """Lines that are not as Arena itself keeps them by the settings of the BOM; they are taken as
    they stand. None where no settings were sent."""
    settings = statement.bom_settings
    if settings is not None and settings.automatically_generate_line_numbers:
        yield from _numbered_otherwise(statement.bom.results)
    if settings is not None and settings.check_reference_designators:
        yield from _designated_otherwise(statement.bom.results)


def _numbered_otherwise(rows: Sequence[BomRow]) -> Iterator[Deviation]:
    lines = Counter(row.line_number for row in rows)
    for place, row in enumerate(rows):
        if row.line_number is None or lines[row.line_number] > 1:
            what = "no number" if row.line_number is None else "the number of another one"
            yield Deviation(
                f"{_line(place)}.lineNumber",
                f"Arena numbers the lines of this BOM, and this one has {what}",
            )


def _designated_otherwise(rows: Sequence[BomRow]) -> Iterator[Deviation]:
    """As many as the quantity and none twice is what Arena wants of a line that is written. One
    without any may be of what has no place, such as glue."""
    ranges, seen = Ranges(), set[str]()
    for place, row in enumerate(rows):
        where = f"{_line(place)}.refDes"
        try:
            names = _designators(row.ref_des or "", ranges, where)
            amount = _amount(row.quantity, where)
        except InvalidMessage:
            # Whoever converts it says what is wrong.
            continue
        again = ""
        for name in names:
            again = again or (name if name in seen else "")
            seen.add(name)
        what = f"{again[:40]} stands in it more than once" if again else ""
        if names and len(names) != amount:
            what = f"{len(names)} of them stand at a quantity of {amount}"
        if what:
            yield Deviation(where, f"Arena checks the designators of this BOM, and {what}")


class _Components:
    """In which unit each component is counted, which no line says.

    Sent with the statement, it is that of the very item of the line. Else it is that of the item on
    record, in the revision that the line shows: another one may be counted otherwise.
    """

    def __init__(self, statement: ItemStatement, facts: Facts, own: OwnWords) -> None:
        self._facts = facts
        self._own = own
        self._sent = (
            None
            if statement.components is None
            else {item.guid: (at, item) for at, item in enumerate(statement.components)}
        )

    def unit(self, item: ItemRevision, where: str) -> str:
        """Rec 20 code. Raises: InvalidMessage, Unavailable while the item is not known."""
        return self._on_record(item, where) if self._sent is None else self._as_sent(item, where)

    def unit_if_known(self, item: ItemRevision, where: str) -> str | None:
        """The same of a substitute, which nobody has to send: None while it is not known."""
        try:
            if self._sent is not None and item.guid in self._sent:
                return self._as_sent(item, where)
            return self._on_record(item, where)
        except Unavailable:
            return None

    def _as_sent(self, item: ItemRevision, where: str) -> str:
        assert self._sent is not None
        if item.guid not in self._sent:
            raise InvalidMessage(
                "component-incomplete",
                f"The item of the line, {item.number[:40]!r}, is not among the components",
                where=f"{where}.item",
                remedy="Send the items of all lines under `components`, or none",
            )
        at, sent = self._sent[item.guid]
        return to_rec20(UNITS, sent.uom or "", self._own.codes, where=f"components[{at}].uom")

    def _on_record(self, item: ItemRevision, where: str) -> str:
        number = normalise_id(item.number, where=f"{where}.item.number")
        label = (item.revision_number or "").strip()
        held = self._facts.item(number)
        if held is None or held.revision.label != label:
            known = f"is known in revision {held.revision.label}" if held else "is not known"
            raise Unavailable(
                "component-unknown",
                f"{number[:70]} stands in the BOM in revision {label[:40]!r} and {known}",
                where=f"{where}.item",
                remedy="Release it in Arena and have it read, then this item again",
                owner="engineering data",
            )
        return held.base_unit


def _substitutes(statement: ItemStatement) -> Mapping[str, Sequence[_Placed]]:
    """Those of each line, by its guid.

    Raises: InvalidMessage for those of no line, or of one that others were sent of.
    """
    lines = {row.guid for row in statement.bom.results}
    found: dict[str, list[_Placed]] = {}
    for at, listed in enumerate(statement.substitutes or ()):
        guid = listed.line.guid
        if guid not in lines or guid in found:
            what = "are sent twice of one" if guid in found else "are of no"
            raise InvalidMessage(
                "substitutes-misplaced",
                f"Substitutes {what} line of the BOM",
                where=f"substitutes[{at}].line.guid",
                remedy="Send those of each line once, with the guid that the BOM has for the line",
            )
        found[guid] = [(_substitute(at, n), row) for n, row in enumerate(listed.results)]
    return found


def _to_line(
    row: BomRow,
    substitutes: Sequence[_Placed],
    components: _Components,
    ranges: Ranges,
    where: str,
) -> BomLine:
    amount = _amount(row.quantity, f"{where}.quantity")
    quantity = Quantity(amount, components.unit(row.item, where))
    told = [_to_substitute(one, quantity, components, place) for place, one in substitutes]
    return BomLine(
        position="" if row.line_number is None else str(row.line_number),
        component=normalise_id(row.item.number, where=f"{where}.item.number"),
        quantity=quantity,
        reference_designators=_designators(row.ref_des or "", ranges, f"{where}.refDes"),
        substitutes=tuple(dict.fromkeys(one.item for one in told)),
        substitutions=tuple(
            one for one in told if one.rank is not None or one.quantity is not None
        ),
        note=normalise_text(row.notes or "", where=f"{where}.notes"),
    )


def _to_substitute(
    row: SubstituteRow, of_line: Quantity, components: _Components, where: str
) -> Substitute:
    """With the same amount as the line it is taken in the place of that, whatever it is counted in
    as long as nobody knows.

    Raises: Unavailable for another amount of an item whose unit is not known.
    """
    amount = _amount(row.quantity, f"{where}.quantity")
    unit = components.unit_if_known(row.item, where)
    if unit is None and amount != of_line.value:
        unit = components.unit(row.item, where)
    quantity = of_line if unit is None else Quantity(amount, unit)
    return Substitute(
        item=normalise_id(row.item.number, where=f"{where}.item.number"),
        rank=row.rank,
        quantity=None if quantity == of_line else quantity,
    )


def _amount(stated: msgspec.Raw, where: str) -> Decimal:
    """The number as it is written: through a float it would become another one."""
    text = bytes(stated).decode(errors="replace")
    if not NUMBER.fullmatch(text):
        raise InvalidMessage(
            "number-malformed",
            f"{text[:40]!r} is no number",
            where=where,
            remedy="Send the quantity as Arena gives it",
        )
    amount = plain_decimal(Decimal(text), where=where)
    if amount < 0:
        raise InvalidMessage(
            "quantity-negative",
            f"The line's quantity is {text[:40]}",
            where=where,
            remedy="Correct the quantity at the source",
        )
    return amount


def _designators(text: str, ranges: Ranges, where: str) -> tuple[str, ...]:
    """Each by itself: of "C15,C6,C10-12" these are C15, C6, C10, C11 and C12.

    Raises: InvalidMessage for ranges that come to too many.
    """
    tokens = (token.strip() for token in normalise_text(text, where=where).split(","))
    stated = [normalise_text(t, where=where, max_chars=MAX_ID_CHARS) for t in tokens if t]
    return ranges.spelled_out(stated, where=where)


def _line(place: int) -> str:
    return f"bom.results[{place}]"


def _substitute(of_line: int, place: int) -> str:
    return f"substitutes[{of_line}].results[{place}]"
