"""Suppliers, info records, their prices and BOMs into IDocs: read back as the same, or refused."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.bom import BomLine, BomNote, PlantBomState
from canonical.effectivity import LotEffectivity, SerialEffectivity
from canonical.effects import Emit
from canonical.facts import Facts
from canonical.handler import Delivery
from canonical.money import Money, UnitPrice
from canonical.price_periods import PricePeriod, PriceScale
from canonical.purchasing import InfoRecordTerms
from canonical.quantity import Quantity, Ratio
from canonical.supplier_master import CompanyView, PurchasingView, SupplierMaster
from handlers.systems.idoc.inbound import HANDLER
from handlers.systems.idoc.words import CATEGORY_OF, LANGUAGES
from tests.corpus import CORPUS
from tests.fixtures.gearbox import NOW, RULES
from tests.strategies import decimals, ratios
from tests.unit.handlers.idoc_out import (
    UNITS,
    amounts,
    as_known,
    assert_round_trip,
    codes,
    idocs,
    maybe,
    plain_codes,
    quantity,
    read_back,
    refused,
    same_but_for_its_telling,
    texts,
    unsaid,
    written,
)

DAYS = st.dates(date(1950, 1, 1), date(9990, 12, 31))

TELLER = SupplierMaster(
    number="100042",
    version=1,
    name="Teller Precision",
    name2="Seals & Rings",
    street="Ringweg 7",
    city="Ulm",
    postal_code="89077",
    country="DE",
    language="DE",
    tax_numbers={"tax-5": "HRB 70042", "vat": "DE123456789"},
    account_group="KRED",
    remit_to="100077",
    quality_block="05",
    is_purchasing_blocked=True,
    companies=(CompanyView("1000", "NT30", "160000", "A"), CompanyView("2000", is_deleted=True)),
    organisations=(
        PurchasingView(
            "1000",
            "EUR",
            "NT45",
            "FCA",
            "Ulm",
            Money(Decimal(250), "EUR"),
            "C01",
            12,
            is_confirmation_required=True,
        ),
    ),
)


def euros(amount: str, per: str = "1000") -> UnitPrice:
    return UnitPrice(Money(Decimal(amount), "EUR"), quantity(per))


TERMS = InfoRecordTerms(
    supplier="100042",
    item="SEAL/7-A",
    organisation="1000",
    plant="",
    category="standard",
    version=1,
    number="5300000815",
    supplier_item="TP-7 A",
    is_regular_supplier=True,
    order_unit="XCT",
    base_unit="H87",
    order_to_base=Ratio(500),
    purchasing_group="C01",
    currency="EUR",
    price=euros("25.00"),
    order_to_price=Ratio(500),
    price_until=date(2026, 12, 31),
    lead_time_days=14,
    minimum=quantity("2", "XCT"),
    standard=quantity("10", "XCT"),
    maximum=quantity("50", "XCT"),
    under_tolerance=Decimal("2.5"),
    over_tolerance=Decimal(5),
    is_confirmation_required=True,
    confirmation_control="0001",
)
PRICES = msgspec.structs.replace(
    TERMS,
    plant="1010",
    prices=(
        PricePeriod(
            date(2026, 1, 1),
            date(2026, 6, 30),
            euros("25.00"),
            (PriceScale(quantity("5000"), euros("24.00")),
             PriceScale(quantity("20000"), euros("22.50"))),
        ),
        PricePeriod(date(2026, 7, 1), None, euros("26.00")),
    ),
)  # fmt: skip
SHAFT = PlantBomState(
    plant="1010",
    parent="70010",
    usage="1",
    alternative="1",
    version=1,
    base=quantity("100"),
    lines=(
        BomLine("10", "ROD-1", quantity("260", "KGM")),
        BomLine(
            "20",
            "70011",
            quantity("2"),
            reference_designators=("DE", "NDE"),
            fixed=True,
            note="greased, and then kept away from dust until the shaft is mounted",
        ),
    ),
    notes=(BomNote("30", "text", "Heat the bearing seat"), BomNote("40", "non-stock", "Oil")),
    change="451",
    valid_from=date(2026, 2, 1),
    status="01",
    text="Shaft assembly",
)


# --- there and back ---


@pytest.mark.parametrize(
    ("message", "one"), [("CREMAS", TELLER), ("INFREC", TERMS), ("BOMMAT", SHAFT)]
)
def test_an_object_goes_out_and_says_the_same_again(message: str, one: msgspec.Struct) -> None:
    assert_round_trip(message, one)


def of_prices(terms: InfoRecordTerms) -> InfoRecordTerms:
    """What its prices say of an info record."""
    bare = InfoRecordTerms("", "", "", "", "", 1)
    names = ("supplier", "item", "organisation", "plant", "category", "prices")
    return msgspec.structs.replace(bare, **{name: getattr(terms, name) for name in names})


def test_prices_go_out_apart_from_the_terms() -> None:
    (found,) = read_back(written("COND_A", PRICES))
    assert found == same_but_for_its_telling(of_prices(PRICES), found)
    assert unsaid("INFREC", PRICES) == {"prices": 1}
    assert unsaid("INFREC", TERMS) == {}
    assert set(unsaid("COND_A", PRICES)) == {
        field
        for field in PRICES.__struct_fields__
        if getattr(PRICES, field) != getattr(of_prices(PRICES), field)
    }


@pytest.mark.parametrize(
    ("name", "message"),
    [("cremas", "CREMAS"), ("infrec", "INFREC"), ("cond_a", "COND_A"), ("bommat", "BOMMAT")],
)
def test_what_a_file_of_ours_says_goes_out_or_is_refused_for_what_cannot_be_said(
    name: str, message: str
) -> None:
    body = (CORPUS / "idoc" / f"{name}.made.xml").read_bytes()
    effects = HANDLER.decide(HANDLER.read(Delivery("erp", "", body)), Facts(RULES), NOW)
    known = [as_known(effect.data) for effect in effects if isinstance(effect, Emit)]
    said = [one for one in known if not getattr(one, "notes", ())]
    assert said
    assert_round_trip(message, *said)
    for one in known:
        if one not in said:
            assert "a line of the kind 'document'" in refused(message, one).what


@st.composite
def suppliers(draw: st.DrawFn) -> SupplierMaster:
    kinds = st.sampled_from(["vat", "tax-1", "tax-2", "tax-3", "tax-4", "tax-5"])
    numbers: Mapping[str, str] = draw(st.dictionaries(kinds, codes(11), max_size=3))
    companies = st.lists(
        st.builds(
            CompanyView,
            company=codes(4),
            payment_terms=texts(4),
            reconciliation_account=st.just("") | codes(10),
            payment_block=texts(1),
            remit_to=st.just("") | codes(10),
            is_posting_blocked=st.booleans(),
            is_deleted=st.booleans(),
        ),
        max_size=2,
        unique_by=lambda view: view.company,
    )
    organisations = st.lists(
        st.builds(
            PurchasingView,
            organisation=codes(4),
            currency=st.just("EUR"),
            payment_terms=texts(4),
            incoterms=texts(3),
            incoterms_place=texts(28),
            minimum_order=maybe(
                decimals(minimum="0.01", maximum="99999", places=2).map(lambda n: Money(n, "EUR"))
            ),
            purchasing_group=texts(3),
            lead_time_days=maybe(st.integers(0, 999)),
            is_confirmation_required=st.booleans(),
            is_purchasing_blocked=st.booleans(),
            is_deleted=st.booleans(),
        ),
        max_size=2,
        unique_by=lambda view: view.organisation,
    )
    names = {f"name{n}": draw(texts(35)) for n in ("", 2, 3, 4)}
    places = {name: draw(texts(35)) for name in ("street", "district", "city", "po_box_city")}
    short = {name: draw(texts(10)) for name in ("postal_code", "po_box", "po_box_postal_code")}
    bare = SupplierMaster(draw(codes(10)), 1)
    return msgspec.structs.replace(
        bare,
        **names,
        **places,
        **short,
        region=draw(texts(3)),
        country=draw(texts(3)),
        language=draw(st.sampled_from(["", *LANGUAGES.values(), "ET"])),
        tax_numbers=dict(sorted(numbers.items())),
        account_group=draw(texts(4)),
        group=draw(texts(10)),
        remit_to=draw(st.just("") | codes(10)),
        quality_block=draw(texts(2)),
        is_posting_blocked=draw(st.booleans()),
        is_purchasing_blocked=draw(st.booleans()),
        is_deleted=draw(st.booleans()),
        companies=tuple(sorted(draw(companies), key=lambda view: view.company)),
        organisations=tuple(sorted(draw(organisations), key=lambda view: view.organisation)),
    )


def prices(unit: str = "H87") -> st.SearchStrategy[UnitPrice]:
    money = decimals(minimum="0.01", maximum="99999", places=2).map(lambda n: Money(n, "EUR"))
    pers = st.sampled_from([1, 10, 1000]).map(lambda n: Quantity(Decimal(n), unit))
    return st.builds(UnitPrice, money, pers)


@st.composite
def terms(draw: st.DrawFn) -> InfoRecordTerms:
    unit = draw(st.sampled_from(UNITS))
    percents = decimals(minimum="0", maximum="99", places=1)
    return InfoRecordTerms(
        supplier=draw(plain_codes(10)),
        item=draw(codes(18)),
        organisation=draw(plain_codes(4)),
        plant=draw(st.just("") | plain_codes(4)),
        category=draw(st.sampled_from([*CATEGORY_OF])),
        version=1,
        number=draw(texts(10)),
        supplier_item=draw(texts(22)),
        is_regular_supplier=draw(st.booleans()),
        order_unit=unit,
        base_unit=draw(st.sampled_from(["", *UNITS])),
        order_to_base=draw(maybe(ratios())),
        purchasing_group=draw(texts(3)),
        currency="EUR",
        price=draw(maybe(prices())),
        order_to_price=draw(maybe(ratios())),
        price_until=draw(maybe(DAYS)),
        lead_time_days=draw(maybe(st.integers(0, 999))),
        minimum=draw(maybe(amounts(unit=unit))),
        standard=draw(maybe(amounts(unit=unit))),
        maximum=draw(maybe(amounts(unit=unit))),
        under_tolerance=draw(maybe(percents)),
        over_tolerance=draw(maybe(percents)),
        is_over_unlimited=draw(st.booleans()),
        is_confirmation_required=draw(st.booleans()),
        confirmation_control=draw(texts(4)),
        is_deleted=draw(st.booleans()),
        is_deleted_here=draw(st.booleans()),
        prices=draw(periods()),
    )


@st.composite
def periods(draw: st.DrawFn) -> tuple[PricePeriod, ...]:
    """One behind the other, the last of them open."""
    starts = sorted(draw(st.sets(DAYS, min_size=1, max_size=3)))
    found = []
    for start, following in zip(starts, [*starts[1:], None], strict=True):
        price = draw(prices())
        quantities = sorted(draw(st.sets(st.integers(1, 10**9), max_size=3)))
        scales = tuple(
            PriceScale(
                quantity(str(number)),
                UnitPrice(draw(prices()).amount, price.per),
            )
            for number in quantities
        )
        last = following and following - timedelta(days=1)
        found.append(PricePeriod(start, last, price, scales))
    return tuple(found)


@st.composite
def boms(draw: st.DrawFn) -> PlantBomState:
    valid_from = draw(maybe(DAYS))
    lines = st.builds(
        BomLine,
        position=st.just("") | codes(4),
        component=codes(40),
        quantity=st.sampled_from(UNITS).flatmap(lambda unit: amounts(unit=unit)),
        component_revision=st.just(""),
        reference_designators=st.lists(codes(20), max_size=2).map(tuple),
        substitutes=st.just(()),
        fixed=st.booleans(),
        note=texts(40),
        scrap_percent=maybe(decimals(minimum="0.01", maximum="99.99", places=2)),
        # The BOM is valid from the latest of its days.
        first_day=maybe(st.dates(date(1950, 1, 1), valid_from)) if valid_from else st.none(),
    )
    notes = st.builds(
        BomNote,
        position=st.just("") | codes(4),
        kind=st.sampled_from(["text", "non-stock"]),
        text=texts(40),
    )
    return PlantBomState(
        plant=draw(st.just("") | plain_codes(4)),
        parent=draw(codes(40)),
        usage=draw(plain_codes(1)),
        alternative=draw(plain_codes(2)),
        version=1,
        base=draw(amounts()),
        lines=tuple(draw(st.lists(lines, max_size=3))),
        notes=tuple(draw(st.lists(notes, max_size=2))),
        change=draw(st.just("") | codes(12)),
        valid_from=valid_from,
        status=draw(texts(2)),
        text=draw(texts(40)),
        is_deleted=draw(st.booleans()),
    )


@given(suppliers())
def test_suppliers_come_back_as_they_went_out(one: SupplierMaster) -> None:
    assert_round_trip("CREMAS", one)


@given(terms())
def test_info_records_come_back_as_they_went_out(one: InfoRecordTerms) -> None:
    assert_round_trip("INFREC", msgspec.structs.replace(one, prices=()))


@given(terms())
def test_prices_come_back_as_they_went_out(one: InfoRecordTerms) -> None:
    assert_round_trip("COND_A", of_prices(one))


@given(boms())
def test_boms_come_back_as_they_went_out(one: PlantBomState) -> None:
    assert_round_trip("BOMMAT", one)


def test_a_bom_that_is_gone_is_said_to_be_with_and_without_what_it_was() -> None:
    assert_round_trip("BOMMAT", shaft(is_deleted=True))
    gone = PlantBomState("1010", "70010", "1", "1", 1, is_deleted=True)
    assert_round_trip("BOMMAT", gone)


# --- the form ---


def test_the_key_of_a_price_is_that_of_its_condition_table() -> None:
    def head(one: InfoRecordTerms) -> tuple[str, str]:
        (found,) = idocs(written("COND_A", one))[0].root.children
        return found.get("KOTABNR"), found.get("VAKEY")

    assert head(PRICES) == ("017", "0000100042SEAL/7-A          100010100")
    everywhere = msgspec.structs.replace(PRICES, plant="")
    assert head(everywhere) == ("018", "0000100042SEAL/7-A          10000")


def test_a_long_text_of_a_line_is_parted_at_a_blank() -> None:
    (found,) = idocs(written("BOMMAT", SHAFT))[0].root.children
    line = list(found.all("E1STPOM"))[1]
    assert (line.get("POTX1"), line.get("POTX2")) == (
        "greased, and then kept away from dust",
        "until the shaft is mounted",
    )
    assert (line.get("POSNR"), line.get("IDNRK")) == ("0020", "000000000000070011")


# --- what cannot be said ---


def shaft(**stated: Any) -> PlantBomState:
    return msgspec.structs.replace(SHAFT, **stated)


def teller(**stated: Any) -> SupplierMaster:
    return msgspec.structs.replace(TELLER, **stated)


def priced(**stated: Any) -> InfoRecordTerms:
    return msgspec.structs.replace(PRICES, **stated)


YEN = Money(Decimal(250), "JPY")
SUPPLIER, RECORD = "supplier-master/100042", "info-record/100042/1000//standard/SEAL/7-A"
PRICED, BOM = "info-record/100042/1000/1010/standard/SEAL/7-A", "plant-bom/1010/1/1/70010"
PERIOD = PRICES.prices[1]


@pytest.mark.parametrize(
    ("message", "one", "where"),
    [
        ("CREMAS", teller(name="x" * 36), f"{SUPPLIER}: E1LFA1M NAME1"),
        ("CREMAS", teller(number="SUPPLIER-42", companies=(), organisations=()),
         "supplier-master/SUPPLIER-42: E1LFA1M LIFNR"),
        ("CREMAS", teller(tax_numbers={"abn": "1"}), f"{SUPPLIER}: E1LFA1M"),
        ("CREMAS", teller(organisations=(PurchasingView("1000", "JPY", minimum_order=YEN),)),
         SUPPLIER),
        ("CREMAS", teller(organisations=(PurchasingView("1000", "USD",
                                                        minimum_order=Money(Decimal(1), "EUR")),)),
         f"{SUPPLIER} organisations[0].currency"),
        ("INFREC", msgspec.structs.replace(TERMS, supplier_item="x" * 23),
         f"{RECORD}: E1EINAM IDNLF"),
        ("INFREC", msgspec.structs.replace(TERMS, minimum=quantity("1")),
         f"{RECORD} minimum.unit"),
        ("INFREC", msgspec.structs.replace(TERMS, price=euros("0.001")),
         f"{RECORD}: E1EINEM NETPR"),
        ("INFREC", msgspec.structs.replace(TERMS, price=euros("0")), f"{RECORD} price"),
        ("COND_A", TERMS, f"{RECORD}: E1KONH"),
        ("COND_A", priced(prices=(PricePeriod(date(2026, 1, 1)),)),
         f"{PRICED} prices from 2026-01-01: E1KONP KBETR"),
        ("COND_A", priced(prices=(msgspec.structs.replace(
            PERIOD, scales=(PriceScale(quantity("5"), euros("1", "1")),)),)),
         f"{PRICED} prices from 2026-07-01: E1KONM KBETR"),
        ("COND_A", priced(item="A-NUMBER-OF-19-CHAR"),
         "info-record/100042/1000/1010/standard/A-NUMBER-OF-19-CHAR: E1KOMG MATNR"),
        ("BOMMAT", shaft(notes=(BomNote("40", "document", "DRW SH-10-D 000 B"),)),
         f"{BOM} line 40: E1STPOM POSTP"),
        ("BOMMAT", shaft(lines=(BomLine("10", "PIN", quantity("0.0001")),)),
         f"{BOM} line 10: E1STPOM MENGE_C"),
        ("BOMMAT", shaft(lines=(BomLine("10", "PIN", quantity("1"), note="x" * 41),)),
         f"{BOM} line 10: E1STPOM POTX1"),
        ("BOMMAT", shaft(base=quantity("0")), BOM),
        ("BOMMAT", shaft(base=None), f"{BOM}: E1STKOM BMENG_C"),
        ("BOMMAT", shaft(base=None, is_deleted=True), f"{BOM} lines"),
    ],
)  # fmt: skip
def test_what_would_not_fit_or_be_read_otherwise_is_refused(
    message: str, one: msgspec.Struct, where: str
) -> None:
    found = refused(message, one)
    assert (found.code, found.where) == ("idoc-inexpressible", where)


@pytest.mark.parametrize(
    "numbers", [{"serials": SerialEffectivity("SN100", None)}, {"lots": LotEffectivity("L1", "L9")}]
)
def test_a_line_for_some_serial_numbers_or_lots_has_no_place(numbers: dict[str, Any]) -> None:
    line = BomLine("10", "PIN", quantity("1"), **numbers)
    found = refused("BOMMAT", shaft(lines=(line,)))
    assert (found.code, found.where) == ("idoc-inexpressible", f"{BOM} line 10: E1STPOM DATUV")
    assert "lines have days only" in found.what


def test_lines_say_what_has_no_place() -> None:
    line = BomLine("10", "PIN", quantity("1"), component_revision="B", substitutes=("PIN-2",))
    assert unsaid("BOMMAT", shaft(lines=(line, line))) == {
        "lines.component_revision": 2,
        "lines.substitutes": 2,
    }
