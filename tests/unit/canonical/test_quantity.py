"""Quantities: exact in conversion, total in order, strict about numbers and units from outside."""

from __future__ import annotations

import csv
from decimal import Decimal, localcontext
from fractions import Fraction
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.errors import InvalidMessage, Misconfigured
from canonical.quantity import (
    InexactResult,
    ItemUnit,
    Quantity,
    Ratio,
    UnitMismatch,
    convert,
    convert_exact,
    parse_decimal,
    per_base,
    rounded,
    same_amount,
)
from canonical.units import UnknownUnit, from_rec20, read_table, to_rec20, unit
from tests.strategies import CATEGORIES, PACKAGING, item_units, quantities, ratios, same_category

PUBLISHED = Path(__file__).resolve().parents[4] / "shared/samples/unece-rec20/units-of-measure.csv"


def q(value: str, code: str) -> Quantity:
    return Quantity(Decimal(value), code)


# --- numbers from outside ---


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", "0"),
        (".001", "0.001"),
        ("007", "7"),
        ("+1.50", "1.5"),
        ("-2", "-2"),
        ("-0.0", "0"),
        ("3.", "3"),
        ("1.0000000", "1"),
        ("999999999999.999999", "999999999999.999999"),
        ("000000000000000000000100", "100"),
    ],
)
def test_a_plain_decimal_has_one_spelling(text: str, value: str) -> None:
    assert str(parse_decimal(text)) == value


@pytest.mark.parametrize(
    "text",
    [
        *["", " ", "1 ", "1,5", "1.2.3", "--1", "1-", ".", "+", "1e3", "1E+999999999", "1_000"],
        *["NaN", "sNaN", "Infinity", "-Infinity", "\u0661\u0662", "\uff11", "0x10", "1\n", "1\x00"],
        *["1" * 19, "0.0000001", "1234567890123456789", "9" * 4000, "1.0000001"],
    ],
)
def test_anything_but_a_plain_bounded_decimal_is_a_data_error(text: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        parse_decimal(text, where="lines[0].quantity")
    assert caught.value.where == "lines[0].quantity"


@given(st.text(max_size=30))
def test_no_text_makes_the_number_reader_raise_anything_else(text: str) -> None:
    try:
        value = parse_decimal(text)
    except InvalidMessage:
        return
    assert value.is_finite()


@pytest.mark.parametrize("wire", ['"NaN"', '"Infinity"', "1e400", '"1E+999999999"', "1" * 4000])
def test_a_hostile_number_on_the_wire_never_becomes_a_quantity(wire: str) -> None:
    body = f'{{"value":{wire},"unit":"KGM"}}'.encode()
    with pytest.raises((InvalidMessage, msgspec.ValidationError)):
        msgspec.json.decode(body, type=Quantity)


@given(quantities())
def test_a_quantity_survives_json(quantity: Quantity) -> None:
    assert msgspec.json.decode(msgspec.json.encode(quantity), type=Quantity) == quantity


def test_equal_numbers_have_equal_bytes() -> None:
    assert msgspec.json.encode(q("1E+3", "H87")) == b'{"value":"1000","unit":"H87"}'
    assert msgspec.json.encode(q("1.500", "H87")) == b'{"value":"1.5","unit":"H87"}'
    assert q("1.500", "H87") == q("1.5", "H87")


# --- ratios ---


def test_a_ratio_is_kept_in_lowest_terms_with_a_positive_denominator() -> None:
    assert Ratio(50, -100) == Ratio(-1, 2)
    assert msgspec.json.encode(Ratio(4, 2)) == b'{"numerator":2,"denominator":1}'


@pytest.mark.parametrize(("top", "bottom"), [(1, 0), (10**19, 1), (1, 10**19), (10**4000, 3)])
def test_a_ratio_without_meaning_or_beyond_64_bits_is_refused(top: int, bottom: int) -> None:
    with pytest.raises(InvalidMessage):
        Ratio(top, bottom)


@pytest.mark.parametrize("numerator", [0, -3])
def test_an_item_unit_needs_a_positive_ratio(numerator: int) -> None:
    with pytest.raises(InvalidMessage):
        ItemUnit("XBX", Ratio(numerator))


# --- conversion ---


@pytest.mark.parametrize(
    ("value", "from_unit", "to_unit", "expected"),
    [
        ("12", "INH", "MMT", "304.8"),
        ("1", "FOT", "INH", "12"),
        ("16", "ONZ", "LBR", "1"),
        ("1", "LBR", "GRM", "453.59237"),
        ("0.001", "KGM", "MGM", "1000"),
        ("1", "GLL", "INQ", "231"),
        ("2.5", "DZN", "H87", "30"),
        ("90", "MIN", "HUR", "1.5"),
        ("7", "EA", "H87", "7"),
    ],
)
def test_physical_conversion_is_exact(
    value: str, from_unit: str, to_unit: str, expected: str
) -> None:
    assert convert(q(value, from_unit), to_unit) == q(expected, to_unit)


@given(same_category(2))
def test_there_and_back_conserves_the_quantity(pair: tuple[Quantity, Quantity]) -> None:
    quantity, other = pair
    one_back = convert_exact(q("1", other.unit), quantity.unit)
    assert convert_exact(quantity, other.unit) * one_back == Fraction(quantity.value)


@given(quantities(("H87",)), item_units())
def test_there_and_back_through_an_item_unit_conserves_the_quantity(
    quantity: Quantity, pack: ItemUnit
) -> None:
    packs = convert_exact(quantity, pack.unit, [pack], base="H87")
    one_back = convert_exact(q("1", pack.unit), "H87", [pack], base="H87")
    assert one_back == pack.ratio.fraction
    assert packs * one_back == Fraction(quantity.value)


@given(ratios(), ratios(), quantities(("XBX",)))
def test_two_alternates_convert_through_the_base_unit(
    box: Ratio, case: Ratio, quantity: Quantity
) -> None:
    stated = [ItemUnit("XBX", box), ItemUnit("XCS", case)]
    assert (
        convert_exact(quantity, "XCS", stated)
        == Fraction(quantity.value) * box.fraction / case.fraction
    )


def test_an_item_unit_reaches_every_unit_of_the_base_units_category() -> None:
    reel = [ItemUnit("XRL", Ratio(30))]
    assert convert(q("2", "XRL"), "CMT", reel, base="MTR") == q("6000", "CMT")
    per_kilogram = [ItemUnit("KGM", Ratio(4))]
    assert convert(q("500", "GRM"), "H87", per_kilogram, base="H87") == q("2", "H87")


def test_the_base_unit_may_be_named_among_the_alternates() -> None:
    stated = [ItemUnit("H87", Ratio(1)), ItemUnit("XCT", Ratio(25))]
    assert convert(q("3", "XCT"), "H87", stated) == q("75", "H87")


@pytest.mark.parametrize(
    ("from_unit", "to_unit"),
    [("KGM", "MTR"), ("XBX", "H87"), ("CEL", "KEL"), ("MON", "DAY"), ("DD", "C81"), ("P1", "H87")],
)
def test_a_missing_factor_is_refused_and_names_both_units(from_unit: str, to_unit: str) -> None:
    with pytest.raises(UnitMismatch) as caught:
        convert(q("1", from_unit), to_unit)
    assert caught.value.code == "unit-mismatch"
    assert from_unit in caught.value.what
    assert to_unit in caught.value.what
    assert "item unit" in caught.value.remedy


def test_an_item_that_rounds_a_physical_factor_is_overruled_by_it() -> None:
    rounded_pound = [ItemUnit("LBR", Ratio(454, 1000))]
    assert convert_exact(q("1", "LBR"), "KGM", rounded_pound, base="KGM") == Fraction(
        45359237, 100_000_000
    )


def test_an_item_that_contradicts_a_physical_factor_is_refused() -> None:
    with pytest.raises(UnitMismatch) as caught:
        convert(q("1", "DZN"), "H87", [ItemUnit("DZN", Ratio(10))], base="H87")
    assert caught.value.code == "unit-contradiction"


def test_an_item_with_two_ratios_for_one_unit_is_refused() -> None:
    stated = [ItemUnit("XBX", Ratio(10)), ItemUnit("XBX", Ratio(12))]
    with pytest.raises(UnitMismatch) as caught:
        convert(q("1", "XBX"), "H87", stated, base="H87")
    assert caught.value.code == "unit-contradiction"


def test_thirds_are_refused_unless_rounding_is_allowed() -> None:
    third = [ItemUnit("XBX", Ratio(3))]
    assert convert_exact(q("1", "H87"), "XBX", third, base="H87") == Fraction(1, 3)
    with pytest.raises(InexactResult):
        convert(q("1", "H87"), "XBX", third, base="H87")
    assert convert(q("1", "H87"), "XBX", third, base="H87", round_to=6) == q("0.333333", "XBX")


@pytest.mark.parametrize(
    ("value", "places", "expected"),
    [
        ("5/2", 0, "2"),
        ("7/2", 0, "4"),
        ("-5/2", 0, "-2"),
        ("1/8", 2, "0.12"),
        ("2/3", 6, "0.666667"),
    ],
)
def test_halves_round_to_the_even_neighbour(value: str, places: int, expected: str) -> None:
    assert rounded(Fraction(value), places) == Decimal(expected)


@given(st.fractions(-(10**9), 10**9), st.integers(0, 6))
def test_rounding_is_off_by_half_a_place_at_most(value: Fraction, places: int) -> None:
    assert abs(Fraction(rounded(value, places)) - value) * 2 <= Fraction(1, 10**places)


def test_a_result_beyond_18_digits_is_a_data_error() -> None:
    with pytest.raises(InvalidMessage) as caught:
        q("1", "KMT").scaled(10**4000)
    assert caught.value.code == "number-out-of-bounds"


def test_the_precision_of_the_thread_changes_nothing() -> None:
    with localcontext(prec=3):
        assert q("123456.789", "KGM") + q("0.001", "GRM") == q("123456.789001", "KGM")
        assert convert(q("123456.789", "KGM"), "GRM") == q("123456789", "GRM")


# --- arithmetic and order ---


def test_adding_converts_within_a_category_and_refuses_across() -> None:
    assert q("1", "MTR") + q("1", "INH") == q("1.0254", "MTR")
    assert q("1", "KGM") - q("1", "GRM") == q("0.999", "KGM")
    with pytest.raises(UnitMismatch):
        q("1", "KGM") + q("1", "MTR")


def test_scaling_is_exact_or_refused() -> None:
    assert q("1.5", "KGM").scaled(Fraction(1, 3)) == q("0.5", "KGM")
    assert q("1", "KGM").scaled(Fraction(1, 3), round_to=2) == q("0.33", "KGM")
    with pytest.raises(InexactResult):
        q("1", "KGM").scaled(Fraction(1, 3))


@given(quantities(("KGM",)), quantities(("KGM",)))
def test_what_is_added_can_be_taken_away(left: Quantity, right: Quantity) -> None:
    assert left + right - right == left
    assert left + right == right + left


@given(same_category(2))
def test_two_amounts_of_a_category_stand_in_exactly_one_relation(
    pair: tuple[Quantity, Quantity],
) -> None:
    left, right = pair
    assert [left < right, same_amount(left, right), left > right].count(True) == 1
    assert (left <= right) == (not left > right)
    assert (left >= right) == (not left < right)
    assert (left < right) == (right > left)


@given(same_category(3))
def test_the_order_of_amounts_is_transitive(triple: tuple[Quantity, ...]) -> None:
    low, middle, high = sorted(triple)
    assert low <= middle <= high
    assert low <= high


def test_the_same_amount_in_another_unit_is_another_statement() -> None:
    assert same_amount(q("12", "INH"), q("304.8", "MMT"))
    assert q("12", "INH") != q("304.8", "MMT")
    assert not q("12", "INH") < q("304.8", "MMT")


def test_amounts_of_two_categories_have_no_order() -> None:
    with pytest.raises(UnitMismatch):
        _ = q("1", "KGM") < q("1", "MTR")


def test_a_bom_line_is_divided_by_the_header_quantity_exactly() -> None:
    assert per_base(q("100", "H87"), q("100", "H87")) == 1
    assert per_base(q("1", "KGM"), q("3", "H87")) == Fraction(1, 3)
    assert per_base(q("0", "H87"), q("100", "H87")) == 0


@pytest.mark.parametrize("base", ["0", "-1"])
def test_a_bom_without_a_positive_header_quantity_is_refused(base: str) -> None:
    with pytest.raises(InvalidMessage):
        per_base(q("1", "H87"), q(base, "H87"))


# --- code list ---


@pytest.mark.parametrize(("deleted", "packaging"), [("BX", "XBX"), ("CS", "XCS"), ("PK", "XPK")])
def test_a_packaging_code_deleted_from_rec_20_is_refused_with_its_successor(
    deleted: str, packaging: str
) -> None:
    with pytest.raises(UnknownUnit) as caught:
        unit(deleted)
    assert caught.value.code == "unit-deleted"
    assert caught.value.remedy == f"Use {packaging}"
    assert unit(packaging).status == "active"


@pytest.mark.parametrize("code", ["", "PCE", "each", "kgm", "X", "\u212a", "K" * 5000])
def test_a_code_in_no_list_is_refused(code: str) -> None:
    with pytest.raises(UnknownUnit):
        unit(code)
    with pytest.raises(UnknownUnit):
        q("1", code)


def test_a_deprecated_code_is_understood_and_flagged() -> None:
    assert unit("HAR").is_deprecated
    assert not unit("KGM").is_deprecated
    assert convert(q("1", "HAR"), "MTK") == q("10000", "MTK")


@pytest.mark.skipif(not PUBLISHED.is_file(), reason="the published list is not here")
def test_the_table_of_units_is_the_published_list() -> None:
    with PUBLISHED.open(encoding="utf-8", newline="") as file:
        theirs = [
            # A broken bar marks a code that got another name, and is as good as any.
            (r["CommonCode"], plain(r["Name"]), r["Status"].strip("¦"), r["LevelAndCategory"])
            for r in csv.DictReader(file)
        ]
    ours = [(r["code"], r["name"], r["status"], r["level"]) for r in read_table("rec20.csv")]
    assert sorted(ours) == sorted(theirs)


def plain(text: str) -> str:
    return " ".join(text.replace("\xa0", " ").split())


def test_packages_are_all_of_their_list_beside_the_units() -> None:
    codes = {row["code"]: row for row in read_table("rec21.csv")}
    assert len(codes) == 406
    assert all(len(code) == 3 and code[0] == "X" for code in codes)
    assert not codes.keys() & {row["code"] for row in read_table("rec20.csv")}
    assert [code for code, row in codes.items() if row["status"]] == ["XSX"]
    assert codes["XPX"]["name"] == "pallet"
    with pytest.raises(UnknownUnit):
        q("1", "XSX")


def test_units_of_the_strategies_are_in_the_category_they_are_drawn_for() -> None:
    for category, codes in CATEGORIES.items():
        assert {unit(code).category for code in codes} == {category}
    assert {unit(code).category for code in PACKAGING} == {""}


def test_every_factor_has_a_category_and_every_category_one_base_unit() -> None:
    rows = [row for row in read_table("rec20.csv") if row["quantity"] or row["numerator"]]
    assert all(row["quantity"] and row["numerator"] and row["denominator"] for row in rows)
    assert all(row["status"] != "X" for row in rows)
    bases = {row["quantity"] for row in rows if row["numerator"] == row["denominator"] == "1"}
    assert bases == {row["quantity"] for row in rows}


@pytest.mark.parametrize(
    ("code", "printed"),
    [
        *[("YDK", "0.8361274"), ("FTQ", "0.02831685"), ("YDQ", "0.764555")],
        *[("GLL", "0.003785412"), ("GLI", "0.004546092"), ("OZA", "0.00002957353")],
        *[("ONZ", "0.02834952"), ("STI", "6.350293"), ("STN", "907.1847"), ("LTN", "1016.047")],
        *[("CWI", "50.80235"), ("BLL", "0.1589873"), ("QTL", "0.0009463529")],
        *[("PS", "6894.757"), ("C78", "4.448222"), ("M51", "0.3048006"), ("PTI", "0.000568261")],
    ],
)
def test_our_exact_factor_rounds_to_the_one_the_list_prints(code: str, printed: str) -> None:
    factor = unit(code).factor
    assert factor is not None
    assert abs(factor.fraction / Fraction(printed) - 1) < Fraction(1, 10**6)


# --- what systems call units ---


@pytest.mark.parametrize(
    ("source", "text", "code"),
    [
        ("sap", "PC", "H87"),
        ("sap", "ST", "H87"),
        ("sap", "PCE", "H87"),
        ("sap", "KG", "KGM"),
        ("sap", "M", "MTR"),
        ("sap-iso", "KGM", "KGM"),
        ("sap-iso", "PCE", "H87"),
        ("sap-iso", "CS", "XCS"),
        ("arena", "each", "H87"),
        ("arena", " Each ", "H87"),
        ("pdx", "EA", "H87"),
        ("agile", "FT", "FOT"),
        ("agile", "RL", "XRL"),
        ("x12", "CA", "XCS"),
        ("x12", "ST", "SET"),
        ("cxml", "BX", "XBX"),
        ("cxml", "KGM", "KGM"),
        ("coupa", "EA", "H87"),
        ("ubl", "C62", "H87"),
        ("tryton", "u", "H87"),
    ],
)
def test_a_sources_word_becomes_the_canonical_code(source: str, text: str, code: str) -> None:
    assert to_rec20(source, text) == code


@pytest.mark.parametrize("source", ["sap", "sap-iso", "cxml", "coupa", "x12", "agile", "ubl"])
@pytest.mark.parametrize("text", ["KA", "RM"])
def test_cake_and_ream_are_never_taken_from_a_partner_unmapped(source: str, text: str) -> None:
    with pytest.raises(UnknownUnit) as caught:
        to_rec20(source, text, where="lines[3].unit")
    assert caught.value.where == "lines[3].unit"


def test_a_source_with_its_own_list_gets_no_rec_20_meaning_by_accident() -> None:
    with pytest.raises(UnknownUnit):
        to_rec20("sap", "A12")
    assert to_rec20("sap-iso", "A12") == "A12"


@pytest.mark.parametrize(
    ("system", "code", "text"),
    [
        ("sap", "H87", "PC"),
        ("sap-iso", "H87", "PCE"),
        ("sap", "KGM", "KG"),
        ("sap", "MTR", "M"),
        ("sap-iso", "MTR", "MTR"),
        ("coupa", "H87", "EA"),
        ("coupa", "KGM", "KGM"),
    ],
)
def test_a_canonical_code_becomes_the_systems_word(system: str, code: str, text: str) -> None:
    assert from_rec20(system, code) == text


def test_every_alias_leads_to_a_known_unit_and_every_outbound_word_leads_back() -> None:
    for row in read_table("unit_aliases.csv"):
        assert to_rec20(row["source"], row["text"]) == row["code"]
        assert unit(row["code"]).status == "active"
        if row["outbound"]:
            assert from_rec20(row["source"], row["code"]) == row["text"]


def test_a_unit_without_a_word_in_the_system_is_refused() -> None:
    with pytest.raises(UnknownUnit) as caught:
        from_rec20("coupa", "A12")
    assert caught.value.code == "unit-unmapped"


def test_a_source_without_aliases_is_a_configuration_failure() -> None:
    with pytest.raises(Misconfigured):
        to_rec20("teleprinter", "EA")
