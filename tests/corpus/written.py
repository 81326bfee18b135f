"""Files that drivers write of what samples of the corpus say: the goldens of `idoc write` and
`package make`. They are samples as well, so that what they say when they are read has a golden too.

`python -m tests.corpus.written` writes those that are missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from canonical.bom import Bom, PlantBomState
from canonical.change import EngineeringChange
from canonical.effects import Emit
from canonical.errors import InvalidMessage
from canonical.item import Item
from handlers.systems.idoc import outbound as idocs
from handlers.systems.idoc.document import read_idocs
from handlers.systems.idoc.inbound import LIMITS
from handlers.systems.idoc.status import StatusReport
from handlers.systems.idoc.words import NOTES
from handlers.systems.idoc.writing import Parties
from handlers.systems.pdx import outbound as packages
from ops.mapping.sample import say
from tests.corpus import CORPUS

AT = datetime(2026, 3, 2, 8, 15, 4, 21, tzinfo=UTC)
PARTIES = Parties(
    sender="LAYSHAFT", receiver="GBXCLNT100", sender_port="LAYSHAFT", receiver_port="SAPGBX"
)
# Message type -> the sample that states what it is written of.
IDOCS: Mapping[str, str] = {
    "MATMAS": "matmas.xml",
    "ORDERS": "orders.xml",
    "ORDCHG": "orders.xml",
    "ORDRSP": "ordrsp.xml",
    "CREMAS": "cremas.made.xml",
    "INFREC": "infrec.made.xml",
    "COND_A": "cond_a.made.xml",
    "BOMMAT": "bommat.made.xml",
    "ALEAUD": "aleaud.made.xml",
    "STATUS": "status.made.xml",
}
PACKAGE = "coupling.made.xml"


def said(sample: Path) -> list[Any]:
    """What the events of a sample state."""
    effects = say(CORPUS / sample).translation.effects
    return [effect.data for effect in effects if isinstance(effect, Emit)]


def idoc_objects(kind: str) -> list[Any]:
    """What the IDoc of that message type is written of."""
    return stated(kind, IDOCS[kind])


def stated(kind: str, name: str) -> list[Any]:
    """What the IDocs of that message type in a sample state."""
    form, sample = idocs.FORMS[kind], Path("idoc") / name
    if form.told is None:
        return [_expressible(form.read(one)) for one in said(sample)]
    with (CORPUS / sample).open("rb") as file:
        return [_writable(form, form.told(idoc, AT)) for idoc in read_idocs(file, LIMITS)]


def _writable(form: idocs.Form, report: Any) -> Any:
    """With the statuses that this kind of message tells."""
    return msgspec.structs.replace(
        report,
        statuses=tuple(
            told for told in report.statuses if _goes_out(form, StatusReport((told,), AT))
        ),
    )


def _goes_out(form: idocs.Form, report: StatusReport) -> bool:
    try:
        form.segments(report)
    except InvalidMessage:
        return False
    return True


def _expressible(one: Any) -> Any:
    """Without the lines of a BOM that name documents and classes, of which not all is known."""
    if isinstance(one, PlantBomState):
        notes = tuple(note for note in one.notes if note.kind in NOTES)
        return msgspec.structs.replace(one, notes=notes)
    return one


def written() -> dict[Path, bytes]:
    """Content by the file's place in the corpus."""
    files = {
        Path("idoc") / f"{kind.lower()}.written.xml": idocs.write(
            idocs.FORMS[kind], [(PARTIES, one) for one in idoc_objects(kind)], AT
        ).body
        for kind in IDOCS
    }
    files[Path("pdx") / "coupling.written.xml"] = packages.to_document(contents())
    return files


def contents() -> packages.Contents:
    """The package of the coupling, as `package make` puts it together."""
    stated = said(Path("pdx") / PACKAGE)
    boms = tuple(one for one in stated if isinstance(one, Bom))
    return packages.Contents(
        identifier="ECO-3001",
        generated=AT,
        items=tuple(one for one in stated if isinstance(one, Item)),
        boms=boms,
        change=next(one for one in stated if isinstance(one, EngineeringChange)),
        tops=frozenset(bom.parent for bom in boms),
    )


def main() -> None:
    """Write the files that are missing."""
    for name, content in written().items():
        if not (CORPUS / name).exists():
            (CORPUS / name).write_bytes(content)
            print(name)


if __name__ == "__main__":
    main()
