"""Plants' BOMs into BOMMAT04, whole, as `bill_of_material` reads them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from canonical.bom import BomLine, BomNote, PlantBomState, plant_bom_key
from canonical.text import normalise_text
from handlers.systems.idoc.document import Segment
from handlers.systems.idoc.lengths import FIELDS
from handlers.systems.idoc.values import day_text, decimal_text, padded
from handlers.systems.idoc.words import DELETE, NOTES, OF_MATERIAL, REPLACE, STOCK_LINE
from handlers.systems.idoc.writing import (
    amount_text,
    inexpressible,
    mark,
    materials,
    segment,
    unit_text,
)

# SAP's own widths of numbers of nothing but digits.
_ALTERNATIVE_CHARS, _POSITION_CHARS, _NODE_CHARS, _CHANGE_CHARS = 2, 4, 8, 12


def to_segments(bom: PlantBomState) -> tuple[Segment, ...]:
    """E1STZUM with the BOM of one plant, usage and alternative: header, lines, then notes.

    One that is deleted, and of which nothing else is told, is its assignment to the material alone.
    Raises: InvalidMessage, naming BOM, line, segment and field, for what a field cannot say.
    """
    about = plant_bom_key(bom)
    if bom.base is None and not bom.is_deleted:
        what = "a BOM without a base quantity, which is not deleted"
        raise inexpressible(what, f"{about}: E1STKOM BMENG_C")
    alternative = padded(bom.alternative, _ALTERNATIVE_CHARS)
    assignment = {
        "MSGFN": REPLACE if bom.base else DELETE,
        **materials("E1MASTM", "MATNR", bom.parent),
        "WERKS": bom.plant,
        "STLAN": bom.usage,
        "STLAL": alternative,
    }
    below = [segment(about, "E1MASTM", assignment)]
    if bom.base:
        header = {
            "MSGFN": REPLACE,
            "STLAL": alternative,
            "DATUV": day_text(bom.valid_from),
            "AENNR": padded(bom.change, _CHANGE_CHARS),
            "LOEKZ": mark(bom.is_deleted),
            "BMEIN": unit_text(bom.base.unit, f"{about}: E1STKOM BMEIN"),
            "STKTX": bom.text,
            "STLST": bom.status,
            "BMENG_C": amount_text(bom.base),
        }
        below.append(segment(about, "E1STKOM", header))
        below += _items(about, bom)
    head = {"MSGFN": REPLACE, "STLTY": OF_MATERIAL, "STLAN": bom.usage}
    return (segment(about, "E1STZUM", head, *below),)


def _items(about: str, bom: PlantBomState) -> Iterator[Segment]:
    """Lines, then notes; each with a node of its own."""
    day = day_text(bom.valid_from)
    nodes = itertools.count(1)
    for line in bom.lines:
        first_day = day_text(line.first_day)
        yield _line(f"{about} line {line.position}", line, _node(next(nodes), first_day))
    for note in bom.notes:
        yield _note(f"{about} line {note.position}", note, _node(next(nodes), day))


def _node(number: int, day: str) -> dict[str, str]:
    return {"MSGFN": REPLACE, "STLKN": f"{number:0{_NODE_CHARS}d}", "DATUV": day}


def _line(about: str, line: BomLine, node: dict[str, str]) -> Segment:
    if line.numbers is not None:
        what = f"a line that is effective from {line.numbers.shown}: lines have days only"
        raise inexpressible(what, f"{about}: E1STPOM DATUV")
    fields = {
        **node,
        **materials("E1STPOM", "IDNRK", line.component),
        "POSTP": STOCK_LINE,
        "POSNR": padded(line.position, _POSITION_CHARS),
        "MEINS": unit_text(line.quantity.unit, f"{about}: E1STPOM MEINS"),
        "FMENG": mark(line.fixed),
        "AUSCH": decimal_text(line.scrap_percent),
        **_texts(about, line.note),
        "MENGE_C": amount_text(line.quantity),
    }
    points = (segment(about, "E1STPUM", {"EBORT": point}) for point in line.reference_designators)
    return segment(about, "E1STPOM", fields, *points)


def _note(about: str, note: BomNote, node: dict[str, str]) -> Segment:
    """A text or something bought without an item. Of others the words are known, and not which of
    them stood in which field."""
    category = NOTES.get(note.kind)
    if category is None:
        raise inexpressible(f"a line of the kind {note.kind[:40]!r}", f"{about}: E1STPOM POSTP")
    fields = {
        **node,
        "POSTP": category,
        "POSNR": padded(note.position, _POSITION_CHARS),
        **_texts(about, note.text),
    }
    return segment(about, "E1STPOM", fields)


def _texts(about: str, text: str) -> dict[str, str]:
    """The text in its two fields, parted at the last blank that the first one has room for."""
    holds = FIELDS["E1STPOM"]["POTX1"]
    assert isinstance(holds, int)
    text = normalise_text(text, where=f"{about}: E1STPOM POTX1")
    cut = text.rfind(" ", 0, holds + 1) if len(text) > holds else -1
    return {"POTX1": text} if cut < 0 else {"POTX1": text[:cut], "POTX2": text[cut + 1 :]}
