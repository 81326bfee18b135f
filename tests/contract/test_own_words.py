"""Words of one installation are read and written wherever a unit or a life cycle stands."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from canonical.bom import BomLine, PlantBom
from canonical.connector import Absent, Driver, More, Observed
from canonical.effects import Step
from canonical.exchange import Response
from canonical.item import Item
from canonical.item_master import ItemMasterPatch
from canonical.lifecycle import words
from canonical.money import Money, UnitPrice
from canonical.operations import (
    ExtendToPlant,
    Operation,
    PublishItem,
    PutBom,
    PutContract,
    PutInfoRecord,
    PutItem,
    PutOrder,
    PutSourceList,
)
from canonical.order import OrderLine, PurchaseOrder
from canonical.own_words import NO_WORDS, OwnWords
from canonical.purchase_contract import ContractLine, PurchaseContract
from canonical.purchasing import InfoRecord
from canonical.quantity import ItemUnit, Quantity, Ratio
from canonical.rules import Rules
from canonical.source_list import Source, SourceList
from canonical.units import read_table
from handlers import CATALOGUE, DRIVERS
from ops.mapping.goldens import samples
from ops.mapping.sample import ANYBODY, SENT, headers_of
from ops.mapping.translation import (
    NO_RULES,
    Translation,
    contracts_of,
    delivery_of,
    translate,
)
from tests.corpus import CORPUS
from tests.fixtures.gearbox import item

VENDORS = ("arena", "coupa", "idoc", "pdx", "s4")
# What every word that anybody has for a unit is made to mean.
BUNDLE = "XBE"
# A package that says nothing of an item's unit: pieces, by assumption.
ASSUMED = frozenset({"H87"})


def distinct(said: Iterable[str]) -> list[str]:
    """The words that differ by more than their case."""
    return [*{word.strip().casefold(): word for word in said if word.strip()}.values()]


ALIASES = [row["text"] for row in read_table("unit_aliases.csv")]
CODES = [row["code"] for name in ("rec20.csv", "rec21.csv") for row in read_table(name)]
UNITS = OwnWords(units=dict.fromkeys(distinct([*ALIASES, *CODES]), BUNDLE))
PHASES = OwnWords(lifecycle=dict.fromkeys(distinct(w.text for w in words()), "on_hold"))


# --- in ---


def said_by(own: OwnWords) -> Rules:
    return msgspec.structs.replace(NO_RULES, words={ANYBODY: own})


def understood(body: bytes, headers: Mapping[str, str], rules: Rules) -> Translation:
    delivery = delivery_of(body, source=ANYBODY, attributes=headers)
    contracts = contracts_of(CATALOGUE)
    return translate(delivery, catalogue=CATALOGUE, contracts=contracts, now=SENT, rules=rules)


def translated(sample: str, rules: Rules = NO_RULES) -> Translation:
    path = CORPUS / sample
    return understood(path.read_bytes(), headers_of(path), rules)


def found(value: object, names: frozenset[str]) -> Iterator[str]:
    """What fields of these names hold, however deep they stand."""
    if isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            within = getattr(value, name)
            if name in names and isinstance(within, str) and within:
                yield within
            yield from found(within, names)
    elif isinstance(value, tuple):
        for one in value:
            yield from found(one, names)


def units_of(said: Translation) -> set[str]:
    names = frozenset({"unit", "base_unit", "order_unit"})
    return {unit for event in said.events for unit in found(event.data, names)}


def phases_of(said: Translation) -> set[str]:
    names = frozenset({"lifecycle"})
    return {phase for event in said.events for phase in found(event.data, names)}


TRANSLATED = {
    str(Path(vendor) / name): translated(str(Path(vendor) / name))
    for vendor in VENDORS
    for name in samples(CORPUS / vendor)
}
WITH_UNITS = [name for name, said in TRANSLATED.items() if units_of(said)]
WITH_PHASES = [name for name, said in TRANSLATED.items() if phases_of(said)]


def test_every_handler_that_reads_units_is_tried_here() -> None:
    handlers = (TRANSLATED[name].handler for name in WITH_UNITS)
    assert {handler.name for handler in handlers if handler} == {
        "arena-item",
        "coupa-contract",
        "coupa-contract-read",
        "coupa-contracts",
        "coupa-order",
        "coupa-order-read",
        "idoc-document",
        "pdx-package",
        "s4-bom",
        "s4-info-record",
        "s4-product",
        "s4-purchase-contract",
        "s4-purchase-order",
        "s4-source-list",
    }


@pytest.mark.parametrize("name", WITH_UNITS)
def test_every_unit_is_read_by_own_words_first(name: str) -> None:
    said = translated(name, said_by(UNITS))
    assert said.failure is None
    assert BUNDLE in units_of(said)
    assert units_of(said) <= {BUNDLE} | (ASSUMED if said.deviations else frozenset())


@pytest.mark.parametrize("name", WITH_PHASES)
def test_every_life_cycle_is_read_by_own_words_first(name: str) -> None:
    assert phases_of(translated(name, said_by(PHASES))) == {"on_hold"}


@pytest.mark.parametrize("name", TRANSLATED)
def test_words_of_somebody_else_make_no_difference(name: str) -> None:
    words_of = {"somebody else": msgspec.structs.replace(UNITS, lifecycle=PHASES.lifecycle)}
    other = translated(name, msgspec.structs.replace(NO_RULES, words=words_of))
    assert other.effects == TRANSLATED[name].effects


@pytest.mark.parametrize(("status", "lifecycle"), [("40", "obsolete"), ("41", None)])
@pytest.mark.parametrize(
    ("sample", "held", "stated"),
    [
        ("idoc/matmas.xml", "<MSTAE>40<", "<MSTAE>{}<"),
        ("s4/product.answer.json", '"CrossPlantStatus": ""', '"CrossPlantStatus": "{}"'),
    ],
)
def test_a_status_of_a_material_is_a_life_cycle_where_own_words_say_so(
    sample: str, held: str, stated: str, status: str, lifecycle: str | None
) -> None:
    text = (CORPUS / sample).read_text()
    assert held in text
    body = text.replace(held, stated.format(status)).encode()
    plain = master(sample, body, NO_WORDS)
    assert (plain.status, plain.lifecycle) == (status, UNSET)
    worded = master(sample, body, OwnWords(lifecycle={"40": "obsolete"}))
    assert (worded.status, worded.lifecycle) == (status, lifecycle)


def master(sample: str, body: bytes, own: OwnWords) -> ItemMasterPatch:
    """What the message says of its material."""
    headers = headers_of(CORPUS / sample)
    (said,) = understood(body, headers, said_by(own)).events
    assert isinstance(said.data, ItemMasterPatch)
    return said.data


# --- out ---

# Words that the targets' tables do not have.
OWN = OwnWords(units={"QA": "H87", "QB": "KGM", "QC": "XRO", "QD": "MTR"})
UNIT = re.compile("unit|uom", re.IGNORECASE)
EXCHANGED: Mapping[str, Mapping[str, str]] = {
    "s4": {"PC": "QA", "KG": "QB", "ROL": "QC", "M": "QD"},
    "coupa": {"EA": "QA", "KGM": "QB", "RO": "QC", "MTR": "QD"},
}
DAY = date(2026, 3, 2)
PRICE = UnitPrice(Money(Decimal(25), "EUR"), Quantity(Decimal(100), "KGM"))
TWO = Quantity(Decimal(2), "H87")
SEAL: Item = item(
    "SEAL-1",
    alternates=(ItemUnit("XRO", Ratio(100)),),
    weight=Quantity(Decimal("0.25"), "KGM"),
)
WRITTEN: Mapping[str, tuple[Operation, ...]] = {
    "s4": (
        PutItem(SEAL),
        ExtendToPlant("SEAL-1", "1010", "buy", "H87", "001"),
        PutBom(
            PlantBom(
                "1010", "PUMP", "B", "1", "1", TWO,
                (
                    BomLine("10", "SEAL-1", TWO),
                    BomLine("20", "OIL", Quantity(Decimal(1), "KGM")),
                    BomLine("30", "HOSE", Quantity(Decimal(3), "MTR")),
                ),
            )
        ),
        PutInfoRecord(
            InfoRecord(
                supplier="S-1",
                item="SEAL-1",
                purchasing_org="1010",
                plant="1010",
                order_unit="XRO",
                base_unit="H87",
                order_to_base=(100, 1),
                price=PRICE,
                lead_time_days=5,
                contract="C-1",
                purchasing_group="001",
            )
        ),
        PutOrder(
            PurchaseOrder(
                "PO-1", 1, "S-1", "EUR",
                (OrderLine("1", "SEAL-1", TWO, price=PRICE, plant="1010"),),
                organisation="1010",
            ),
            "001",
        ),
        PutContract(
            PurchaseContract(
                "C-1", 1, "S-1", "active", DAY,
                kind="quantity",
                currency="EUR",
                lines=(
                    ContractLine(
                        "1", "SEAL-1", order_unit="XRO", price=PRICE,
                        target=Quantity(Decimal(5), "XRO"),
                    ),
                ),
                organisation="1010",
            ),
            "001",
        ),
        PutSourceList(
            SourceList(
                "SEAL-1", "1010", 1,
                (Source(DAY, supplier="S-1", organisation="1010", order_unit="XRO"),),
            )
        ),
    ),
    "coupa": (
        PublishItem(SEAL),
        PutOrder(PurchaseOrder("PO-1", 1, "S-1", "EUR", (OrderLine("1", "SEAL-1", TWO),))),
    ),
}  # fmt: skip
CALLS = [(name, operation) for name, row in WRITTEN.items() for operation in row]


def step_of(operation: Operation) -> Step:
    return Step("1010", "target", "object", "X", operation)


def of_nothing(driver: Driver, operation: Operation) -> Observed:
    """What a look finds where the target has nothing of the object."""
    if not isinstance(operation, PutSourceList):
        return Absent()
    answer = Response(200, {"content-type": "application/json"}, b'{"d": {"results": []}}')
    seen = driver.read(step_of(operation), answer)
    assert not isinstance(seen, More)
    return seen


def created(driver: Driver, operation: Operation) -> Any:
    write = driver.write(step_of(operation), of_nothing(driver, operation), "key-1")
    assert write is not None
    return msgspec.json.decode(write.request.body or b"")


def exchanged(value: Any, by: Mapping[str, str], *, is_unit: bool = False) -> Any:
    """The same document with other words for these units: M is an industry, too."""
    match value:
        case dict():
            return {
                name: exchanged(one, by, is_unit=is_unit or bool(UNIT.search(name)))
                for name, one in value.items()
            }
        case list():
            return [exchanged(one, by, is_unit=is_unit) for one in value]
        case str() if is_unit:
            return by.get(value, value)
        case _:
            return value


@pytest.mark.parametrize(("name", "operation"), CALLS)
def test_units_are_written_in_the_words_of_the_target_itself(
    name: str, operation: Operation
) -> None:
    plain = created(DRIVERS[name], operation)
    own = created(DRIVERS[name].for_words(OWN), operation)
    assert own == exchanged(plain, EXCHANGED[name])
    assert own != plain


@pytest.mark.parametrize("name", DRIVERS)
def test_a_driver_for_no_words_is_the_driver(name: str) -> None:
    driver = DRIVERS[name].for_words(OwnWords())
    assert (driver.name, driver.operations) == (DRIVERS[name].name, DRIVERS[name].operations)
    for operation in WRITTEN.get(name, ()):
        assert created(driver, operation) == created(DRIVERS[name], operation)


def test_a_target_that_takes_one_change_a_call_has_its_words_too() -> None:
    driver = DRIVERS["s4"].for_words(OWN).one_by_one()
    operation = WRITTEN["s4"][0]
    assert created(driver, operation) == created(DRIVERS["s4"].for_words(OWN), operation)


@pytest.mark.parametrize(
    ("lifecycle", "held", "wanted"),
    [
        ("obsolete", "", "Z9"),
        ("obsolete", "ZA", None),  # another word for the same
        ("obsolete", "Z8", "Z9"),
        ("on_hold", "01", "Z8"),
        ("released", "ZA", ""),
        ("released", "01", ""),
        ("released", "07", None),  # the ERP's own
        ("in_design", "", None),  # which life cycles are shown is no matter of words
    ],
)
def test_a_material_shows_its_life_cycle_by_the_status_of_its_erp(
    lifecycle: Any, held: str, wanted: str | None
) -> None:
    own = OwnWords(
        lifecycle={"Z8": "on_hold", "Z9": "obsolete", "ZA": "obsolete", "Z1": "in_design"}
    )
    driver, put = DRIVERS["s4"].for_words(own), PutItem(item("SEAL-1", lifecycle=lifecycle))
    entity = created(driver, put)
    row = entity | {
        "CrossPlantStatus": held,
        "to_ProductUnitsOfMeasure": {"results": []},
        "__metadata": {"etag": "W/1"},
    }
    answer = Response(200, {"content-type": "application/json"}, msgspec.json.encode({"d": row}))
    seen = driver.read(step_of(put), answer)
    assert not isinstance(seen, More)
    write = driver.write(step_of(put), seen, "key-1")
    changed = msgspec.json.decode(write.request.body or b"") if write else {}
    assert changed.get("CrossPlantStatus") == wanted
