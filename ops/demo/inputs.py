"""What the PLM client sends: files, and what has to become of each of them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import msgspec

PACKAGES = Path(__file__).with_name("packages")

Fate = Literal["accepted", "absorbed", "parked"]


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """One message.

    kind: routing key. fate: what has to become of it. case, owner: of the case it ends in.
    headers: number of AMQP headers; a thousand and more is what no reader should have to parse.
    """

    name: str
    file: Path
    kind: str
    content_type: str = "application/json"
    fate: Fate = "accepted"
    case: str = ""
    owner: str = ""
    headers: int = 0


WIDGET_PACKAGE = Input(
    name="package of the board",
    file=PACKAGES / "pdx_subassembly.xml",
    kind="product-definition",
    content_type="application/xml",
)
WIDGET_CHANGE = Input(
    name="ECO-000451",
    file=PACKAGES / "arena_eco_000451.json",
    kind="engineering-change",
)
GEARBOX_PACKAGE = Input(
    name="package of the gearbox with ECO-2001",
    file=PACKAGES / "gearbox_package.pdx",
    kind="product-definition",
    content_type="application/zip",
)
# The message three times: the same bytes twice more.
REPEATS = (
    msgspec.structs.replace(WIDGET_CHANGE, name="ECO-000451 again", fate="absorbed"),
    msgspec.structs.replace(WIDGET_CHANGE, name="ECO-000451 once more", fate="absorbed"),
)
OLDER_REVISION = Input(
    name="gearbox one revision earlier",
    file=PACKAGES / "gearbox_package_older.pdx",
    kind="product-definition",
    content_type="application/zip",
)
UNKNOWN_UNIT = Input(
    name="kit with a unit nobody can convert",
    file=PACKAGES / "kit_package_unmapped_unit.pdx",
    kind="product-definition",
    content_type="application/zip",
    fate="parked",
    case="unit-unmapped",
    owner="sender (plm)",
)


def bad_inputs(folder: Path) -> tuple[Input, ...]:
    """Five messages that are wrong in five ways, their files written into `folder`."""

    def bad(name: str, case: str, kind: str, body: bytes, headers: int = 0) -> Input:
        file = folder / f"{case}.bin"
        file.write_bytes(body)
        return Input(
            name=name,
            file=file,
            kind=kind,
            fate="parked",
            case=case,
            owner="sender (plm)",
            headers=headers,
        )

    return (
        bad("JSON cut off half-way", "undecodable", "engineering-change", _cut_off()),
        bad("count that is a word", "contract-violated", "engineering-change", _changed(_word)),
        bad("kind nobody knows", "contract-unknown", "cost-rollup", b'{"costRollup": 4711}'),
        bad("change without its number", "field-missing", "product-definition", _numberless()),
        bad("12,500 headers", "amqp-property", "engineering-change", _changed(_other), 12_500),
    )


def _cut_off() -> bytes:
    content = WIDGET_CHANGE.file.read_bytes()
    return content[: len(content) // 2]


def _numberless() -> bytes:
    with zipfile.ZipFile(GEARBOX_PACKAGE.file) as archive:
        return archive.read("pdx.xml").replace(b' changeNumber="ECO-2001"', b"")


def _changed(change: Callable[[dict[str, Any]], None]) -> bytes:
    statement = json.loads(WIDGET_CHANGE.file.read_bytes())
    change(statement)
    return json.dumps(statement).encode()


def _word(statement: dict[str, Any]) -> None:
    statement["changeItems"]["count"] = "thirty-two"


def _other(statement: dict[str, Any]) -> None:
    statement["change"]["number"] = "ECO-000452"
