"""Files that drivers write of what samples of the corpus say: the goldens of `idoc write` and
`package make`. They are samples as well, so that what they say when they are read has a golden too.

`python -m tests.corpus.written` writes those that are missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from canonical.bom import Bom
from canonical.change import EngineeringChange
from canonical.effects import Emit
from canonical.item import Item
from handlers.systems.idoc import outbound as idocs
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
}
PACKAGE = "coupling.made.xml"


def said(sample: Path) -> list[Any]:
    """What the events of a sample state."""
    effects = say(CORPUS / sample).translation.effects
    return [effect.data for effect in effects if isinstance(effect, Emit)]


def idoc_objects(kind: str) -> list[Any]:
    """What the IDoc of that message type is written of."""
    form = idocs.FORMS[kind]
    return [form.read(one) for one in said(Path("idoc") / IDOCS[kind])]


def written() -> dict[Path, bytes]:
    """Content by the file's place in the corpus."""
    files = {
        Path("idoc") / f"{kind.lower()}.written.xml": idocs.write(
            idocs.FORMS[kind], idoc_objects(kind), PARTIES, AT
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
