"""BOMMAT in BOMMAT04: a material's BOMs, whole, as an SAP system builds by them on one day.

Segments and fields: the public field lists of E1STZUM, E1MASTM, E1STKOM, E1STASM and E1STPOM
(README.md). Quantities stand in BMENG_C and MENGE_C: the fields without _C have a type that cannot
hold decimals, and SAP itself does not read them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal

import msgspec

from canonical.bom import BomLine, BomNote, PlantBomState, Substitute
from canonical.designators import Ranges, with_single_names
from canonical.effects import Open
from canonical.errors import InvalidMessage
from canonical.own_words import OwnWords
from canonical.quantity import Quantity
from canonical.text import joined_key, normalise_text, received_id
from canonical.units import to_rec20
from handlers.systems.answers import printable
from handlers.systems.idoc.document import IDoc, Segment
from handlers.systems.idoc.fields import Findings, flag, is_deleted
from handlers.systems.idoc.values import day, decimal, key, unpadded
from handlers.systems.idoc.words import ALIASES, CLASS_LINE, DELETE, WITHOUT_COMPONENT

BOM, BASIC_TYPE = "BOMMAT", "BOMMAT04"
# Segments that are read.
SEGMENTS = frozenset({"E1STZUM", "E1MASTM", "E1STKOM", "E1STASM", "E1STPOM", "E1STPUM"})

# Behind all ranks, which have two digits.
_UNRANKED = 100


def boms_key(idoc: IDoc) -> str:
    """What the IDoc is about: all BOMs of its material."""
    return joined_key("plant-boms", _parent(_assignments(idoc)[0]))


def to_boms(
    idoc: IDoc, version: int, stated_at: datetime, own: OwnWords
) -> tuple[tuple[PlantBomState, ...], tuple[Open, ...]]:
    """The BOM of each plant, usage and alternative that the BOMMAT tells of, and cases for what a
    person has to look at.

    Raises: InvalidMessage where it is not told whole, or a unit or number cannot be understood:
        a BOM without one of its lines would be another BOM.
    """
    cases: list[Open] = []
    boms: list[PlantBomState] = []
    ranges = Ranges()
    for assignment in _assignments(idoc):
        findings = Findings(f"BOM of {_parent(assignment)} in plant {assignment.get('WERKS')}")
        bom = _to_bom(_head(idoc), assignment, own, findings, version, stated_at)
        boms.append(with_single_names(bom, ranges))
        cases += findings.cases
    return tuple(boms), tuple(cases)


def _head(idoc: IDoc) -> Segment:
    return idoc.head("E1STZUM")


def _assignments(idoc: IDoc) -> list[Segment]:
    """Where the BOM is used: the material in each plant."""
    head = _head(idoc)
    found = list(head.all("E1MASTM"))
    if not found:
        raise _incomplete("It does not say whose BOM it is", where=f"{head.where}: E1MASTM")
    if len({_parent(segment) for segment in found}) > 1:
        raise InvalidMessage(
            "bom-of-several",
            "The BOM is told to be of several materials",
            where=f"{found[1].where}: MATNR",
            remedy="Send an IDoc for each material",
        )
    return found


def _parent(assignment: Segment) -> str:
    return key(assignment.get("MATNR_LONG", "MATNR"), where=f"{assignment.where}: MATNR")


def _to_bom(
    head: Segment,
    assignment: Segment,
    own: OwnWords,
    findings: Findings,
    version: int,
    stated_at: datetime,
) -> PlantBomState:
    alternative = key(assignment.get("STLAL"), where=f"{assignment.where}: STLAL")
    is_gone = DELETE in (head.get("MSGFN"), assignment.get("MSGFN"))
    header = _header(head, alternative)
    if header is None and not is_gone:
        raise _incomplete(f"Alternative {alternative[:10]} has no header", where=assignment.where)
    items = _items(head, alternative) if header else []
    made_by = [header, *items] if header else []
    _refuse_parameters((*made_by, *head.all("E1STASM")))
    return PlantBomState(
        plant=normalise_text(assignment.get("WERKS"), where=f"{assignment.where}: WERKS"),
        parent=_parent(assignment),
        usage=_usage(head, assignment),
        alternative=alternative,
        version=version,
        base=_base(header, own) if header else None,
        lines=tuple(_lines(items, own, findings)),
        notes=tuple(_notes(items, findings)),
        change=_change(made_by),
        valid_from=max(filter(None, map(_valid_from, made_by)), default=None),
        status=normalise_text(header.get("STLST"), where=header.where) if header else "",
        text=normalise_text(header.get("STKTX"), where=header.where) if header else "",
        is_deleted=is_gone or (header is not None and is_deleted(header, "LOEKZ") is True),
        source_id=received_id(
            assignment.get("MATNR_LONG", "MATNR"), where=f"{assignment.where}: MATNR"
        ),
        stated_at=stated_at,
    )


def _usage(head: Segment, assignment: Segment) -> str:
    stated = assignment.get("STLAN") or head.get("STLAN")
    return key(stated, where=f"{assignment.where}: STLAN")


def _header(head: Segment, alternative: str) -> Segment | None:
    """Of the alternative. Several would be its states on several days: SAP sends those of one."""
    found = [one for one in head.all("E1STKOM") if unpadded(one.get("STLAL")) == alternative]
    if len(found) > 1:
        raise _with_history(f"Alternative {alternative[:10]}", where=found[1].where)
    return found[0] if found else None


def _items(head: Segment, alternative: str) -> list[Segment]:
    """Lines of the alternative: those that E1STASM names, in its order; all of them where there is
    no E1STASM at all."""
    lines = list(head.all("E1STPOM"))
    by_node = _by_node(lines)
    members = list(head.all("E1STASM"))
    if members:
        lines = [by_node[node] for node in _nodes(members, alternative, by_node)]
    return [line for line in lines if is_deleted(line, "LKENZ") is not True]


def _by_node(lines: Sequence[Segment]) -> Mapping[str, Segment]:
    """Lines by the number of their node. Raises: InvalidMessage for one that is told of twice: as
    it is on several days."""
    found: dict[str, Segment] = {}
    for line in lines:
        node = unpadded(line.get("STLKN"))
        if node and found.setdefault(node, line) is not line:
            raise _with_history(f"Line {_position(line)[:10]}", where=line.where)
    return found


def _nodes(
    members: Sequence[Segment], alternative: str, known: Mapping[str, Segment]
) -> Iterator[str]:
    seen: set[str] = set()
    for member in members:
        node = unpadded(member.get("STLKN"))
        of_another = unpadded(member.get("STLAL")) != alternative
        if of_another or node in seen or is_deleted(member, "LKENZ") is True:
            continue
        if node not in known:
            raise _incomplete("It names a line that is not in it", where=f"{member.where}: STLKN")
        seen.add(node)
        yield node


def _base(header: Segment, own: OwnWords) -> Quantity:
    base = _quantity(header, own, "BMENG_C", "BMEIN")
    if base.value <= 0:
        raise InvalidMessage(
            "base-quantity",
            f"The base quantity is {base.value}; lines cannot be divided by it",
            where=f"{header.where}: BMENG_C",
            remedy="State how much of the material the lines are for",
        )
    return base


def _quantity(segment: Segment, own: OwnWords, field: str, unit_field: str) -> Quantity:
    stated = segment.get(field)
    if not stated:
        raise _incomplete("A quantity is missing", where=f"{segment.where}: {field}")
    amount = decimal(stated, where=f"{segment.where}: {field}")
    where = f"{segment.where}: {unit_field}"
    unit = to_rec20(ALIASES, segment.get(unit_field), own.codes, where=where)
    return Quantity(amount, unit)


def _lines(items: Sequence[Segment], own: OwnWords, findings: Findings) -> Iterator[BomLine]:
    """The lines with a component; of a group of alternatives the one that is used, with the others
    as its substitutes."""
    groups = {name: group for name, group in _groups(items) if _has_one_line(name, group, findings)}
    for item in items:
        if not _component(item):
            continue
        used, *others = groups.get(item.get("ALPGR"), [item])
        if item is used:
            yield _with_substitutes(_line(item, own), item.get("ALPGR"), others, own)


def _groups(items: Sequence[Segment]) -> Iterator[tuple[str, list[Segment]]]:
    """Alternatives by the name of their group, each group in the order in which they are taken: by
    how likely one is used, which is what is planned by, then by rank."""
    found: dict[str, list[Segment]] = {}
    for item in items:
        if item.get("ALPGR") and _component(item):
            found.setdefault(item.get("ALPGR"), []).append(item)
    for name, group in found.items():
        yield name, sorted(group, key=lambda one: (-_probability(one), _rank(one) or _UNRANKED))


def _has_one_line(name: str, group: Sequence[Segment], findings: Findings) -> bool:
    """Whether one of the group is used and the others stand in for it. A case where each is used in
    its share, or where quantities are for other bases."""
    in_shares = sum(_probability(item) > 0 for item in group) > 1
    is_one = not in_shares and len({flag(item, "FMENG") is True for item in group}) == 1
    if not is_one:
        findings.add(_alternatives(group[0], name))
    return is_one


def _with_substitutes(
    line: BomLine, group: str, others: Sequence[Segment], own: OwnWords
) -> BomLine:
    substitutions = tuple(_substitute(item, line.quantity, group, own) for item in others)
    return msgspec.structs.replace(
        line,
        substitutes=tuple(dict.fromkeys(one.item for one in substitutions)),
        substitutions=substitutions,
    )


def _substitute(item: Segment, of_line: Quantity, group: str, own: OwnWords) -> Substitute:
    quantity = _quantity(item, own, "MENGE_C", "MEINS")
    return Substitute(
        item=_component(item),
        rank=_rank(item),
        quantity=None if quantity == of_line else quantity,
        group=normalise_text(group, where=f"{item.where}: ALPGR"),
    )


def _rank(item: Segment) -> int | None:
    """SAP fills up two digits, so 00 is none."""
    return int(_number(item, "ALPRF")) or None


def _probability(item: Segment) -> Decimal:
    return _number(item, "EWAHR")


def _number(item: Segment, field: str) -> Decimal:
    return decimal(item.get(field) or "0", where=f"{item.where}: {field}")


def _component(item: Segment) -> str:
    number = item.get("IDNRK_LONG", "IDNRK")
    return key(number, where=f"{item.where}: IDNRK") if number else ""


def _position(item: Segment) -> str:
    return unpadded(normalise_text(item.get("POSNR"), where=f"{item.where}: POSNR"))


def _line(item: Segment, own: OwnWords) -> BomLine:
    points = (part.get("EBORT") for part in item.all("E1STPUM"))
    return BomLine(
        position=_position(item),
        component=_component(item),
        quantity=_quantity(item, own, "MENGE_C", "MEINS"),
        reference_designators=tuple(
            normalise_text(point, where=f"{item.where}: EBORT") for point in points if point
        ),
        fixed=flag(item, "FMENG") is True,
        note=_note(item, "POTX1", "POTX2"),
        # SAP has 0 for none.
        scrap_percent=_number(item, "AUSCH") or None,
        first_day=_valid_from(item),
    )


def _note(item: Segment, *fields: str) -> str:
    words = " ".join(filter(None, (item.get(field) for field in fields)))
    return normalise_text(words, where=f"{item.where}: {', '.join(fields)}")


def _notes(items: Sequence[Segment], findings: Findings) -> Iterator[BomNote]:
    """Lines without a component."""
    for item in items:
        if _component(item):
            continue
        category = item.get("POSTP")
        known = WITHOUT_COMPONENT.get(category)
        if known is None:
            raise _incomplete("The line has no component", where=f"{item.where}: IDNRK")
        if category == CLASS_LINE:
            findings.add(_chosen_later(item))
        kind, fields = known
        yield BomNote(_position(item), kind, _note(item, *fields))


def _alternatives(item: Segment, group: str) -> InvalidMessage:
    return InvalidMessage(
        "bom-alternatives",
        f"Components of group {group[:10]} are used in shares, or some per lot; each is taken as a"
        " line",
        where=f"{item.where}: ALPGR",
        remedy="Keep in mind that they stand for each other",
    )


def _chosen_later(item: Segment) -> InvalidMessage:
    return InvalidMessage(
        "bom-class",
        "A class stands for components that are chosen later; no line is made of it",
        where=f"{item.where}: POSTP",
        remedy="Send the BOM of the configured material",
    )


def _valid_from(segment: Segment) -> date | None:
    return day(segment.get("DATUV"), where=f"{segment.where}: DATUV")


def _change(segments: Sequence[Segment]) -> str:
    """The change with the latest day: it made the BOM what it is."""
    dated = [(_valid_from(one) or date.min, one) for one in segments if one.get("AENNR")]
    if not dated:
        return ""
    _, latest = max(dated, key=lambda pair: pair[0])
    return key(latest.get("AENNR"), where=f"{latest.where}: AENNR")


def _refuse_parameters(segments: Iterable[Segment]) -> None:
    """A technical status stands where a change by parameters made it so, such as by a range of
    serial numbers; which they are is not in the IDoc."""
    for segment in segments:
        if segment.get("TECHV"):
            number = segment.get("AENNR")
            change = f" of change {printable(number[:12])}" if number else ""
            raise InvalidMessage(
                "bom-by-parameters",
                "It holds for serial numbers or other parameters only, and a BOMMAT does not say"
                f" for which{change}",
                where=f"{segment.where}: TECHV",
                remedy="Send BOMs that are changed by days; this one has to be kept by hand",
            )


def _with_history(what: str, *, where: str) -> InvalidMessage:
    return InvalidMessage(
        "bom-with-history",
        f"{what} is told of on several days",
        where=where,
        remedy="Send the BOM as it is on one day",
    )


def _incomplete(what: str, *, where: str) -> InvalidMessage:
    return InvalidMessage("bom-incomplete", what, where=where, remedy="Send the whole BOM")
