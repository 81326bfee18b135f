"""What is known into IDocs: each is read back as the same object, or refused with its place."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.effects import Emit
from canonical.errors import InvalidMessage, Rejected
from canonical.facts import Facts
from canonical.handler import Delivery
from canonical.item_master import ItemMaster, PlantView
from canonical.money import Money, UnitPrice
from canonical.order import (
    ConfirmationStatus,
    ConfirmedLine,
    OrderConfirmation,
    OrderLine,
    PurchaseOrder,
    ScheduleLine,
)
from canonical.quantity import ItemUnit, Quantity, Ratio
from handlers.systems.idoc.document import Segment
from handlers.systems.idoc.inbound import HANDLER
from handlers.systems.idoc.lengths import FIELDS, Digits
from handlers.systems.idoc.values import decimal
from handlers.systems.idoc.words import LANGUAGES
from tests.corpus import CORPUS
from tests.fixtures.gearbox import NOW, RULES
from tests.strategies import PACKAGING, decimals
from tests.unit.handlers.idoc_out import (
    PARTIES,
    UNITS,
    amounts,
    as_known,
    assert_round_trip,
    below,
    codes,
    idocs,
    maybe,
    quantity,
    read_back,
    refused,
    sample,
    texts,
    unsaid,
    written,
)

SAMPLES = ("matmas", "orders", "ordrsp")

SEAL = ItemMaster(
    number="70011",
    version=1,
    base_unit="H87",
    kind="HALB",
    group="SEALS",
    status="40",
    gtin="4012345678901",
    gross_weight=quantity("0.25", "KGM"),
    net_weight=quantity("0.2", "KGM"),
    volume=quantity("0.125", "DMQ"),
    descriptions={"DE": "Wellendichtring", "EN": "Shaft seal & ring"},
    alternates=(ItemUnit("XBX", Ratio(500)), ItemUnit("XPX", Ratio(20_000))),
    plants=(
        PlantView("1010", "buy", "C01", 14, quantity("500"), "02"),
        PlantView("2010", "make", is_deleted=True),
    ),
)
LINE = OrderLine(
    line="10",
    item="70011",
    quantity=quantity("1000"),
    price=UnitPrice(Money(Decimal("25.00"), "EUR"), quantity("1000")),
    plant="1010",
    supplier_item="TP-7 A",
    description="Shaft seal",
    schedule=(
        ScheduleLine(quantity("400"), date(2026, 4, 1)),
        ScheduleLine(quantity("600"), date(2026, 5, 4)),
    ),
)
ORDER = PurchaseOrder(
    number="4500000001",
    version=1,
    supplier="100042",
    currency="EUR",
    lines=(LINE, OrderLine("20", "", quantity("1", "LTR"), description="Oil, any")),
    organisation="1000",
    kind="NB",
    payment_terms="NT30",
    ordered_on=date(2026, 3, 2),
    total=Money(Decimal("31.50"), "EUR"),
)


def confirmed(
    line: str, status: ConfirmationStatus, promised: str, stated_as: str = ""
) -> ConfirmedLine:
    schedule = (ScheduleLine(quantity(promised), date(2026, 4, 8)),)
    return ConfirmedLine(line, status, quantity("10"), schedule, stated_as=stated_as)


CONFIRMATION = OrderConfirmation(
    order="4500000001",
    version=1,
    lines=(
        confirmed("10", "accepted", "10", "001"),
        confirmed("20", "changed", "4"),
        confirmed("30", "backordered", "0"),
        confirmed("40", "rejected", "0", "003"),
    ),
    supplier="100042",
    reference="2001319044",
    currency="EUR",
)


# --- there and back ---


@pytest.mark.parametrize(
    ("message", "one"),
    [("MATMAS", SEAL), ("ORDERS", ORDER), ("ORDCHG", ORDER), ("ORDRSP", CONFIRMATION)],
)
def test_an_object_goes_out_and_says_the_same_again(message: str, one: msgspec.Struct) -> None:
    assert_round_trip(message, one)


@pytest.mark.parametrize("name", SAMPLES)
def test_what_a_file_of_saps_says_goes_out_and_says_the_same_again(name: str) -> None:
    # Of two of its units nobody knows what they are: they are cases, and not on record.
    message = HANDLER.read(Delivery("erp", "", (CORPUS / "idoc" / f"{name}.xml").read_bytes()))
    effects = HANDLER.decide(message, Facts(RULES), NOW)
    (one,) = (effect.data for effect in effects if isinstance(effect, Emit))
    assert_round_trip(sample(name).kind[0], as_known(one))


def views(unit: str) -> st.SearchStrategy[PlantView]:
    return st.builds(
        PlantView,
        plant=codes(4),
        procurement=st.sampled_from([None, "make", "buy"]),
        purchasing_group=texts(3),
        lead_time_days=maybe(st.integers(0, 999)),
        minimum_lot=maybe(amounts(unit=unit)),
        status=texts(2),
        is_deleted=st.booleans(),
    )


@st.composite
def items(draw: st.DrawFn) -> ItemMaster:
    unit, weight = draw(st.sampled_from(UNITS)), draw(st.sampled_from(["KGM", "GRM"]))
    alternates = draw(st.dictionaries(st.sampled_from(PACKAGING), st.integers(1, 99_999)))
    plants = draw(st.lists(views(unit), max_size=3, unique_by=lambda view: view.plant))
    languages = st.sampled_from([*LANGUAGES.values(), "ET", "4"])
    return ItemMaster(
        number=draw(codes(40)),
        version=1,
        base_unit=unit,
        kind=draw(texts(4)),
        group=draw(texts(9)),
        hierarchy=draw(texts(18)),
        status=draw(texts(2)),
        gtin=draw(texts(18)),
        gross_weight=draw(maybe(amounts(unit=weight))),
        net_weight=draw(maybe(amounts(unit=weight))),
        volume=draw(maybe(amounts(unit="DMQ"))),
        descriptions=draw(st.dictionaries(languages, texts(40), max_size=4)),
        alternates=tuple(ItemUnit(code, Ratio(top)) for code, top in sorted(alternates.items())),
        plants=tuple(sorted(plants, key=lambda view: view.plant)),
        is_deleted=draw(st.booleans()),
    )


def schedules(unit: str) -> st.SearchStrategy[tuple[ScheduleLine, ...]]:
    days = maybe(st.dates(date(1950, 1, 1), date(9990, 12, 31)))
    lines = st.builds(ScheduleLine, amounts(unit=unit), days)
    return st.lists(lines, max_size=3).map(tuple)


def prices() -> st.SearchStrategy[UnitPrice]:
    money = st.builds(
        Money, decimals(minimum="0", maximum="99999"), st.sampled_from(["EUR", "JPY"])
    )
    pers = st.sampled_from([1, 10, 1000]).map(lambda n: Quantity(Decimal(n), "KGM"))
    return st.builds(UnitPrice, money, pers)


@st.composite
def order_lines(draw: st.DrawFn) -> OrderLine:
    unit = draw(st.sampled_from(UNITS))
    return OrderLine(
        line=draw(codes(6)),
        item=draw(st.just("") | codes(35)),
        quantity=draw(amounts(unit=unit)),
        price=draw(maybe(prices())),
        plant=draw(texts(4)),
        supplier_item=draw(st.just("") | codes(35)),
        description=draw(texts(70)),
        schedule=draw(schedules(unit)),
    )


def orders() -> st.SearchStrategy[PurchaseOrder]:
    return st.builds(
        PurchaseOrder,
        number=codes(35),
        version=st.just(1),
        supplier=st.just("") | codes(17),
        currency=st.sampled_from(["EUR", "USD"]),
        lines=st.lists(order_lines(), min_size=1, max_size=3).map(tuple),
        organisation=texts(35),
        kind=texts(4),
        payment_terms=texts(17),
        ordered_on=maybe(st.dates(date(1950, 1, 1), date(9990, 12, 31))),
        total=maybe(st.builds(Money, decimals(maximum="99999999"), st.just("USD"))),
        source_id=st.just(""),
        stated_at=st.none(),
    )


@st.composite
def confirmed_lines(draw: st.DrawFn) -> ConfirmedLine:
    unit = draw(st.sampled_from(UNITS))
    ordered, schedule = draw(amounts(unit=unit)), draw(schedules(unit))
    promised = sum(line.quantity.value for line in schedule)
    status: ConfirmationStatus = "changed" if promised else "backordered"
    if promised == ordered.value:
        status = "accepted"
    stated_as = draw(st.sampled_from(["", "001", "003"]))
    return ConfirmedLine(
        line=draw(codes(6)),
        status="rejected" if stated_as == "003" else status,
        quantity=ordered,
        schedule=schedule,
        item=draw(st.just("") | codes(35)),
        supplier_item=draw(st.just("") | codes(35)),
        price=draw(maybe(prices())),
        stated_as=stated_as,
    )


def confirmations() -> st.SearchStrategy[OrderConfirmation]:
    lines = st.lists(confirmed_lines(), min_size=1, max_size=3, unique_by=lambda line: line.line)
    return st.builds(
        OrderConfirmation,
        order=codes(35),
        version=st.just(1),
        lines=lines.map(tuple),
        supplier=st.just("") | codes(17),
        reference=texts(35),
        currency=st.sampled_from(["EUR", "USD"]),
        stated_at=st.none(),
    )


@given(items())
def test_materials_come_back_as_they_went_out(one: ItemMaster) -> None:
    assert_round_trip("MATMAS", one)


@given(st.sampled_from(["ORDERS", "ORDCHG"]), orders())
def test_orders_come_back_as_they_went_out(message: str, one: PurchaseOrder) -> None:
    assert_round_trip(message, one)


@given(orders())
def test_an_order_that_is_taken_back_is_an_ordchg_of_no_lines(one: PurchaseOrder) -> None:
    assert_round_trip("ORDCHG", msgspec.structs.replace(one, status="cancelled", lines=()))


@given(confirmations())
def test_confirmations_come_back_as_they_went_out(one: OrderConfirmation) -> None:
    assert_round_trip("ORDRSP", one)


# --- the form ---


def held(value: str, holds: int | Digits) -> bool:
    if isinstance(holds, int):
        return len(value) <= holds
    whole, _, places = f"{abs(decimal(value, where='x')):f}".partition(".")
    return len(whole) <= holds.whole and len(places) <= holds.places


# SAP's own test data has names of partners that no partner can have.
INVENTED = {"SNDPRN", "RCVPRN"}


@pytest.mark.parametrize("name", SAMPLES)
def test_fields_of_saps_files_are_within_the_lengths_and_in_the_order_that_are_written(
    name: str,
) -> None:
    found = sample(name)
    for segment in (found.control, *below(found.root)):
        known = FIELDS.get(segment.name, {})
        stated = {field: value for field, value in segment.fields.items() if field in known}
        assert [field for field in known if field in stated] == list(stated)
        for field, value in stated.items():
            assert field in INVENTED or held(value, known[field]), (segment.name, field, value)


def names(segment: Segment) -> list[str]:
    """Of the segments right below, each once, where it is first."""
    return list(dict.fromkeys(child.name for child in segment.children))


@pytest.mark.parametrize(
    ("name", "one"), [("matmas", SEAL), ("orders", ORDER), ("ordrsp", CONFIRMATION)]
)
def test_segments_are_in_the_order_of_saps_files(name: str, one: msgspec.Struct) -> None:
    theirs = sample(name)
    (ours,) = idocs(written(theirs.kind[0], one))
    pairs = [(theirs.root, ours.root)]
    while pairs:
        real, made = pairs.pop()
        assert [each for each in names(real) if each in names(made)] == names(made)
        pairs += [
            (segment, child) for child in made.children if (segment := real.first(child.name))
        ]


def test_the_control_record_says_who_sends_what_to_whom() -> None:
    (found, second) = idocs(written("MATMAS", SEAL, SEAL))
    assert found.control.fields == {
        "TABNAM": "EDI_DC40",
        "DOCNUM": "1772439304000021",
        "DIRECT": "2",
        "IDOCTYP": "MATMAS05",
        "MESTYP": "MATMAS",
        "SNDPOR": "LAYSHAFT",
        "SNDPRT": "LS",
        "SNDPRN": "LAYSHAFT",
        "RCVPOR": "SAPGBX",
        "RCVPRT": "LS",
        "RCVPRN": "GBXCLNT100",
        "CREDAT": "20260302",
        "CRETIM": "081504",
        "SERIAL": "20260302081504",
    }
    assert second.control.get("DOCNUM") == "1772439304000022"


def test_a_later_document_is_newer_also_within_a_second() -> None:
    first, second = read_back(written("MATMAS", SEAL, SEAL))
    assert (first.version, second.version) == (1772439304000021, 1772439304000022)


def test_numbers_of_digits_are_filled_up_as_sap_keeps_them() -> None:
    (found,) = idocs(written("MATMAS", SEAL))
    (head,) = found.root.children
    assert (head.get("MATNR"), head.get("MATNR_LONG")) == (("0" * 13 + "70011",) * 2)
    long = msgspec.structs.replace(SEAL, number="SEAL-7/A-WITH-A-LONG-NUMBER")
    (head,) = idocs(written("MATMAS", long))[0].root.children
    assert "MATNR" not in head.fields
    assert head.get("MATNR_LONG") == "SEAL-7/A-WITH-A-LONG-NUMBER"


def test_lines_of_an_order_are_new_and_of_a_change_nothing_is_said() -> None:
    def actions(message: str) -> list[str | None]:
        (found,) = idocs(written(message, ORDER))
        return [line.fields.get("ACTION") for line in found.root.all("E1EDP01")]

    assert actions("ORDERS") == ["001", "001"]
    assert actions("ORDCHG") == [None, None]


def test_a_test_is_marked_and_nobody_here_takes_it() -> None:
    body = written("ORDERS", ORDER, parties=msgspec.structs.replace(PARTIES, is_test=True))
    assert idocs(body)[0].is_test
    with pytest.raises(Rejected) as caught:
        read_back(body)
    assert caught.value.code == "test-message"


def test_the_same_arguments_give_the_same_bytes() -> None:
    assert written("ORDERS", ORDER) == written("ORDERS", ORDER)


# --- what cannot be said ---


def seal(**stated: Any) -> ItemMaster:
    return msgspec.structs.replace(SEAL, **stated)


@pytest.mark.parametrize(
    ("one", "where"),
    [
        (seal(kind="HALBZEUG"), "item-master/70011: E1MARAM MTART"),
        (seal(group="/"), "item-master/70011: E1MARAM MATKL"),
        (seal(group=" A"), "item-master/70011: E1MARAM MATKL"),
        (seal(descriptions={"EN": "a\nb"}), "item-master/70011 description EN: E1MAKTM MAKTX"),
        (seal(descriptions={"EN": "x" * 41}), "item-master/70011 description EN: E1MAKTM MAKTX"),
        (seal(number="0070011"), "item-master/0070011 number"),
        (seal(net_weight=quantity("200", "GRM")), "item-master/70011: E1MARAM GEWEI"),
        (seal(volume=quantity("0.0005", "DMQ")), "item-master/70011: E1MARAM VOLUM"),
        (seal(volume=quantity("12345678901", "DMQ")), "item-master/70011: E1MARAM VOLUM"),
        (seal(alternates=(ItemUnit("XBX", Ratio(100_000)),)),
         "item-master/70011 unit XBX: E1MARMM UMREZ"),
        (seal(plants=(PlantView("1010", "phantom"),)),
         "item-master/70011 plant 1010: E1MARCM BESKZ"),
        (seal(plants=(PlantView("1010", minimum_lot=quantity("1", "KGM")),)),
         "item-master/70011 plant 1010: E1MARCM BSTMI"),
        (seal(plants=(PlantView("1010", minimum_lot=quantity("0")),)),
         "item-master/70011 plants[0].minimum_lot"),
        (seal(plants=(PlantView("1010"), PlantView("0999"))), "item-master/70011 plants[0].plant"),
    ],
)  # fmt: skip
def test_a_material_that_would_not_fit_or_be_read_otherwise_is_refused(
    one: ItemMaster, where: str
) -> None:
    found = refused("MATMAS", one)
    assert (found.code, found.where) == ("idoc-inexpressible", where)


def order(**stated: Any) -> PurchaseOrder:
    return msgspec.structs.replace(ORDER, lines=(msgspec.structs.replace(LINE, **stated),))


LINE_10 = "purchase-order/4500000001 line 10"


@pytest.mark.parametrize(
    ("one", "where"),
    [
        (order(quantity=quantity("0.0001")), f"{LINE_10}: E1EDP01 MENGE"),
        (order(item="X" * 41), f"{LINE_10}: E1EDP19 IDTNR_LONG"),
        (order(line="1000000"), "purchase-order/4500000001 line 1000000: E1EDP01 POSEX"),
        (order(schedule=(ScheduleLine(quantity("1", "KGM")),)), f"{LINE_10}: E1EDP20 WMENG"),
        (order(supplier_item="007"), "purchase-order/4500000001 lines[0].supplier_item"),
        (order(price=UnitPrice(Money(Decimal(1), "EUR"), quantity("0.5"))),
         f"{LINE_10}: E1EDP01 PEINH"),
    ],
)  # fmt: skip
def test_an_order_that_would_not_fit_or_be_read_otherwise_is_refused(
    one: PurchaseOrder, where: str
) -> None:
    found = refused("ORDERS", one)
    assert (found.code, found.where) == ("idoc-inexpressible", where)


@pytest.mark.parametrize(
    ("message", "stated"),
    [
        ("ORDERS", {"status": "cancelled", "lines": ()}),
        ("ORDCHG", {"lines": ()}),
        ("ORDCHG", {"status": "closed"}),
        ("ORDCHG", {"status": "cancelled"}),
    ],
)
def test_what_an_order_is_that_no_idoc_can_say_is_refused(
    message: str, stated: dict[str, Any]
) -> None:
    found = refused(message, msgspec.structs.replace(ORDER, **stated))
    assert found.code == "idoc-inexpressible"
    assert found.where.startswith("purchase-order/4500000001")


def test_a_confirmation_whose_quantities_say_otherwise_is_refused() -> None:
    lines = (confirmed("10", "accepted", "4"),)
    found = refused("ORDRSP", msgspec.structs.replace(CONFIRMATION, lines=lines))
    assert found.where == "order-confirmation/4500000001 lines[0].status"
    assert "'changed', and is 'accepted'" in found.what
    twice = (confirmed("10", "changed", "4"), confirmed("10", "changed", "5"))
    found = refused("ORDRSP", msgspec.structs.replace(CONFIRMATION, lines=twice))
    assert "confirmed twice" in found.what


def test_partners_that_no_profile_can_have_are_refused() -> None:
    long = msgspec.structs.replace(PARTIES, receiver="A-LOGICAL-SYSTEM")
    assert refused("ORDERS", ORDER, parties=long).where == "control record: EDI_DC40 RCVPRN"
    nobody = msgspec.structs.replace(PARTIES, sender="")
    found = refused("ORDERS", ORDER, parties=nobody)
    assert found.where == "control record: EDI_DC40 SNDPRN, RCVPRN"


def test_several_objects_are_idocs_of_one_document_in_their_order() -> None:
    pin = seal(number="PIN")
    found = read_back(written("MATMAS", SEAL, pin))
    assert [one.number for one in found] == ["70011", "PIN"]


def test_more_idocs_than_a_document_may_have_are_refused() -> None:
    assert refused("ORDERS", *[ORDER] * 1001).code == "idoc-too-many"


def test_fields_without_a_place_are_told_and_those_that_say_nothing_are_not() -> None:
    assert unsaid("ORDERS", ORDER) == {}
    more = order(revision="B", contract="C-1")
    assert unsaid("ORDERS", more, more) == {"lines.contract": 2, "lines.revision": 2}
    assert unsaid("MATMAS", seal(lifecycle="released")) == {"lifecycle": 1}
    other = (confirmed("10", "accepted", "10", "IA"), confirmed("20", "rejected", "0"))
    of_another = msgspec.structs.replace(CONFIRMATION, lines=other)
    assert unsaid("ORDRSP", of_another) == {"lines.stated_as": 1}
    (_, rejected) = read_back(written("ORDRSP", of_another))[0].lines
    assert (rejected.status, rejected.stated_as) == ("rejected", "003")


@given(
    st.sampled_from(["group", "status", "gtin", "kind", "number"]),
    st.text(min_size=1, max_size=12),
)
def test_any_text_is_read_back_as_it_was_or_refused_with_its_place(field: str, text: str) -> None:
    one = seal(**{field: text})
    body = refusal_or_body(one)
    if isinstance(body, InvalidMessage):
        assert body.where
        assert body.remedy
    else:
        assert getattr(read_back(body)[0], field) == text


def refusal_or_body(one: ItemMaster) -> InvalidMessage | bytes:
    try:
        return written("MATMAS", one)
    except InvalidMessage as failure:
        return failure
