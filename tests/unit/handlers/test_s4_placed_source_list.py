"""Source lists out to S/4HANA: which rows are the list's, how its contracts are found, and how one
list becomes another, row by row; the target is simulated by plain values."""

from __future__ import annotations

import copy
from datetime import date
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import UNSET

from canonical.connector import Absent, Confirmed, More, Observed, Present
from canonical.effects import Step
from canonical.errors import (
    Conflict,
    Failure,
    InDoubt,
    InvalidMessage,
    Misconfigured,
    Rejected,
    SuspectedDuplicate,
)
from canonical.exchange import Request, Response
from canonical.operations import PutSourceList
from canonical.source_list import Source, SourceList
from handlers.systems.s4.native import Entity, ListedSource
from handlers.systems.s4.odata import fields
from handlers.systems.s4.outbound import DRIVER
from ops.sandbox.odata import check_payload, load_model
from ops.sandbox.resource import parse_query, parse_resource
from tests.garbage import VALUES, inside

MODEL = load_model()
JSON = {"content-type": "application/json"}
ETAG = "W/\"'1'\""
ROOT = "/sap/opu/odata/sap/API_PURCHASING_SOURCE_SRV/A_PurchasingSource"
CONTRACTS = "/sap/opu/odata/sap/API_PURCHASECONTRACT_PROCESS_SRV/A_PurchaseContract"
MARCH, JUNE, JULY = date(2026, 3, 1), date(2026, 6, 30), date(2026, 7, 1)
MARCH_TEXT, JUNE_TEXT = "/Date(1772323200000)/", "/Date(1782777600000)/"
JULY_TEXT, NO_END = "/Date(1782864000000)/", "/Date(253402214400000)/"
FIRST, SECOND = "17300001", "17300002"


def source(supplier: str = FIRST, **more: Any) -> Source:
    plain = Source(MARCH, supplier=supplier, organisation="1010")
    return msgspec.structs.replace(plain, **more)


def sources(*rows: Source, **more: Any) -> SourceList:
    plain = SourceList("SEAL/7", "1010", 1, rows, origin="erp-2")
    return msgspec.structs.replace(plain, **more)


def step_of(wanted: SourceList, *, is_partial: bool = False) -> Step:
    return Step("1010", "erp", "source-list", wanted.item, PutSourceList(wanted, is_partial))


def row(record: str = "1", supplier: str = FIRST, **more: Any) -> dict[str, Any]:
    """A row as the service shows it."""
    return {
        "__metadata": {"etag": ETAG},
        "Material": "SEAL/7",
        "Plant": "1010",
        "SourceListRecord": record,
        "ValidityStartDate": MARCH_TEXT,
        "ValidityEndDate": NO_END,
        "Supplier": supplier,
        "PurchaseOutlineAgreement": "",
        "PurchaseOutlineAgreementItem": "00000",
        "SupplyingPlant": "",
        "SourceOfSupplyIsBlocked": False,
        "PurchasingOrganization": "1010",
        "OrderQuantityUnit": "",
        **more,
    }


def listed(*entities: dict[str, Any]) -> Response:
    return Response(200, JSON, msgspec.json.encode({"d": {"results": entities}}))


def one(entity: dict[str, Any]) -> Response:
    return Response(200, JSON, msgspec.json.encode({"d": entity}))


def refusal(status: int, code: str) -> Response:
    error = {"code": code, "message": {"lang": "en", "value": "no"}}
    return Response(status, JSON, msgspec.json.encode({"error": error}))


GONE = refusal(404, "/IWBEP/CM_MGW_RT/020")


def contract(number: str, refers: str = "", supplier: str = FIRST, **more: Any) -> dict[str, Any]:
    """A contract of the target's on the item, on its line 10."""
    return {
        "PurchaseContract": number,
        "CorrespncInternalReference": refers,
        "Supplier": supplier,
        "PurchasingDocumentDeletionCode": "",
        "to_PurchaseContractItem": {
            "results": [{"PurchaseContractItem": "00010", "Material": "SEAL/7"}]
        },
        **more,
    }


def answered(request: Request, held: list[dict[str, Any]]) -> Response:
    """What a target with these contracts answers to a look for one."""
    assert request.method == "GET"
    if request.path == CONTRACTS:
        asked = dict(request.query)["$filter"].removeprefix("CorrespncInternalReference eq ")
        return listed(*(c for c in held if f"'{c['CorrespncInternalReference']}'" == asked))
    number = request.path.removeprefix(f"{CONTRACTS}('").removesuffix("')")
    return next((one(c) for c in held if c["PurchaseContract"] == number), GONE)


class Target:
    """The rows of one list at a target, which numbers them; held: its contracts.

    is_partial: what is wanted of it is a part of the list.
    """

    def __init__(
        self,
        *rows: dict[str, Any],
        held: tuple[dict[str, Any], ...] = (),
        is_partial: bool = False,
    ) -> None:
        self._is_partial = is_partial
        self.rows = [copy.deepcopy(each) for each in rows]
        self.contracts = list(held)
        self.looks: list[str] = []
        self._last = max((int(each["SourceListRecord"]) for each in rows), default=0)

    def look(self, wanted: SourceList) -> Observed:
        self.looks = []
        step = step_of(wanted, is_partial=self._is_partial)
        found = DRIVER.read(step, listed(*self.rows))
        while isinstance(found, More):
            self.looks.append(found.request.path.removeprefix(CONTRACTS))
            found = found.read(answered(found.request, self.contracts))
        return found

    def take(self, request: Request) -> str:
        """Also: that the vendor's description has what is sent. The write, by number of the row."""
        resource = parse_resource(MODEL, request.path)
        assert resource.entity_set is not None
        body: dict[str, Any] = {}
        if request.method != "DELETE":
            assert request.body is not None
            body = msgspec.json.decode(request.body)
            is_new = request.method == "POST"
            check_payload(MODEL, resource.entity_set, body, creating=is_new)
        if request.method == "POST":
            assert body["Supplier"]
            assert "SourceListRecord" not in body
            self._last += 1
            self.rows.append(row(str(self._last)) | body)
            return f"POST {self._last}"
        assert ("If-Match", ETAG) in request.headers
        assert resource.key is not None
        number = resource.key["SourceListRecord"]
        [held] = [each for each in self.rows if each["SourceListRecord"] == number]
        if request.method == "DELETE":
            self.rows.remove(held)
        else:
            held |= body
        return f"{request.method} {number}"

    def become(self, wanted: SourceList) -> list[str]:
        """The writes that it took."""
        writes: list[str] = []
        step, before = step_of(wanted, is_partial=self._is_partial), 10**6
        for _ in range(100):
            found = self.look(wanted)
            assert isinstance(found, Present)
            if found.equal:
                return writes
            assert len(found.differences) < before
            before = len(found.differences)
            write = DRIVER.write(step, found, "key-1")
            assert write is not None
            writes.append(self.take(write.request))
            if write.completes:
                after = self.look(wanted)
                assert isinstance(after, Present)
                assert (after.equal, after.differences) == (True, ())
                return writes
        raise AssertionError("never done")

    def numbers(self) -> list[str]:
        return [each["SourceListRecord"] for each in self.rows]


def seen(wanted: SourceList, *rows: dict[str, Any]) -> Present:
    found = Target(*rows).look(wanted)
    assert isinstance(found, Present)
    return found


def next_write(wanted: SourceList, found: Present) -> Request:
    write = DRIVER.write(step_of(wanted), found, "key-1")
    assert write is not None
    return write.request


def body_of(request: Request) -> dict[str, Any]:
    assert request.body is not None
    decoded: dict[str, Any] = msgspec.json.decode(request.body)
    return decoded


# --- names ---


def test_every_field_is_one_of_the_vendors() -> None:
    kind: type[Entity] = ListedSource
    _, described = MODEL.find("A_PurchasingSource")
    assert set(fields(kind)) <= {p.name for p in described.properties}


def test_the_read_is_of_all_rows_of_the_item_in_the_plant() -> None:
    request = DRIVER.observe(step_of(sources()))
    resource = parse_resource(MODEL, request.path)
    assert resource.entity_set is not None
    query = parse_query(MODEL, resource.entity_set, dict(request.query))
    assert query.where == {"Material": "SEAL/7", "Plant": "1010"}


def test_rows_of_another_list_are_a_fault() -> None:
    for other in (row(Plant="1020"), row(Material="BOLT")):
        with pytest.raises(Misconfigured, match="answer-about-another"):
            DRIVER.read(step_of(sources()), listed(other))


def test_where_nobody_has_looked_nothing_is_written() -> None:
    assert DRIVER.write(step_of(sources(source())), Absent(), "key-1") is None


# --- what is sent ---


def test_a_row_is_made_without_a_number_and_without_what_it_does_not_have() -> None:
    wanted = sources(source(), source(SECOND, last_day=JUNE, is_blocked=True, order_unit="H87"))
    found = seen(wanted)
    assert found.differences == (
        "Row supplier 17300001 from 2026-03-01: missing",
        "Row supplier 17300002 from 2026-03-01: missing",
    )
    write = DRIVER.write(step_of(wanted), found, "key-1")
    assert write is not None
    assert not write.completes
    assert (write.request.method, write.request.path) == ("POST", ROOT)
    assert dict(write.request.headers)["X-Request-ID"] == "key-1"
    assert body_of(write.request) == {
        "Material": "SEAL/7",
        "Plant": "1010",
        "ValidityStartDate": MARCH_TEXT,
        "ValidityEndDate": NO_END,
        "Supplier": FIRST,
        "SourceOfSupplyIsBlocked": False,
        "PurchasingOrganization": "1010",
    }
    second = next_write(wanted, seen(wanted, row()))
    assert body_of(second) == {
        "Material": "SEAL/7",
        "Plant": "1010",
        "ValidityStartDate": MARCH_TEXT,
        "ValidityEndDate": JUNE_TEXT,
        "Supplier": SECOND,
        "SourceOfSupplyIsBlocked": True,
        "PurchasingOrganization": "1010",
        "OrderQuantityUnit": "PC",
    }


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        (sources(source("")), "source-without-supplier"),
        (sources(source(organisation="")), "organisation-missing"),
        (sources(source(), source(is_blocked=True)), "source-twice"),
        (sources(*(source(str(n)) for n in range(1, 1002))), "source-list-too-long"),
        (sources(*(source(contract=f"C-{n}") for n in range(10))), "contracts-too-many"),
    ],
)
def test_what_no_list_of_the_erp_can_be_is_refused(wanted: SourceList, code: str) -> None:
    with pytest.raises(Rejected) as refused:
        seen(wanted)
    assert (refused.value.code, refused.value.where) == (code, "source-list/1010/SEAL/7")
    assert refused.value.remedy


def test_a_unit_that_the_erp_does_not_know_is_refused() -> None:
    with pytest.raises(InvalidMessage, match="unit-unmapped"):
        seen(sources(source(order_unit="AK")))


def test_what_is_stated_twice_is_one_row() -> None:
    # Which one is fixed is for people to mark.
    wanted = sources(source(), source(), source(is_fixed=True))
    assert seen(wanted, row()).equal


def test_which_source_is_fixed_is_named_and_not_sent() -> None:
    wanted = sources(source(is_fixed=True), source(SECOND, first_day=JULY, is_fixed=True))
    assert DRIVER.confirm(step_of(wanted), Response(204, {}, b"")) == Confirmed(
        warnings=(
            "Which source is fixed is for people of the ERP to mark: supplier 17300001 from"
            " 2026-03-01, supplier 17300002 from 2026-07-01",
        )
    )


# --- what has to change ---


@pytest.mark.parametrize(
    "held",
    [
        row(),
        row("00001", f"00{FIRST}"),
        row(ValidityEndDate=None),
        row(ValidityEndDate=""),
        row(ValidityStartDate="/Date(1772323200000+0000)/"),
        row(PurchaseOutlineAgreementItem=""),
        row(SourceOfSupplyIsBlocked=None),
        row(OrderQuantityUnit="KG"),
    ],
)
def test_what_is_only_written_otherwise_or_not_stated_is_equal(held: dict[str, Any]) -> None:
    found = seen(sources(source()), held)
    assert (found.equal, found.reference) == (True, "1010/SEAL/7")


def test_a_row_is_changed_under_its_tag_and_keeps_its_number() -> None:
    wanted = sources(source(last_day=JUNE, organisation="1020", order_unit="H87", is_blocked=True))
    found = seen(wanted, row("7"))
    at = "Row 7, supplier 17300001 from 2026-03-01 "
    assert found.differences == (
        f"{at}ValidityEndDate: {NO_END}, wanted {JUNE_TEXT}",
        f"{at}PurchasingOrganization: 1010, wanted 1020",
        f"{at}OrderQuantityUnit: empty, wanted PC",
        f"{at}SourceOfSupplyIsBlocked: false, wanted true",
    )
    request = next_write(wanted, found)
    key = "Material='SEAL%2F7',Plant='1010',SourceListRecord='7'"
    assert (request.method, request.path) == ("PATCH", f"{ROOT}({key})")
    assert dict(request.headers)["If-Match"] == ETAG
    assert body_of(request) == {
        "ValidityEndDate": JUNE_TEXT,
        "PurchasingOrganization": "1020",
        "OrderQuantityUnit": "PC",
        "SourceOfSupplyIsBlocked": True,
    }


def test_rows_are_changed_first_then_made_and_deleted_last() -> None:
    target = Target(row("1"), row("2", SECOND), row("3", "17300003"))
    wanted = sources(source(last_day=JUNE), source(first_day=JULY), source("17300003"))
    assert target.become(wanted) == ["PATCH 1", "POST 4", "DELETE 2"]
    assert target.numbers() == ["1", "3", "4"]


def test_rows_meet_by_what_they_are_however_they_are_ordered() -> None:
    later = {"ValidityStartDate": JULY_TEXT}
    target = Target(
        row("1", SECOND), row("2", **later), row("3", PurchasingOrganization="1020"), row("4")
    )
    wanted = sources(source(), source(organisation="1020"), source(first_day=JULY), source(SECOND))
    assert target.become(wanted) == []


def test_a_block_is_lifted_and_set() -> None:
    target = Target(row("1", SourceOfSupplyIsBlocked=True), row("2", SECOND))
    wanted = sources(source(), source(SECOND, is_blocked=True))
    assert target.become(wanted) == ["PATCH 1", "PATCH 2"]
    assert [each["SourceOfSupplyIsBlocked"] for each in target.rows] == [False, True]


# --- whose rows ---

OTHERS = (
    row("2", SECOND),
    row("3", "", SupplyingPlant="1020"),
    row("4", FIRST, SupplyingPlant="1020"),
    row("5", ""),
    row("6", "", SourceOfSupplyIsBlocked=True),
    row("7", FIRST, ValidityStartDate=JULY_TEXT),
)


def test_a_list_that_its_origin_states_is_whole() -> None:
    target = Target(row(), *OTHERS)
    assert target.become(sources(source())) == ["DELETE 2", "DELETE 6", "DELETE 7"]
    # From another plant, and from nobody: no list of ours has such rows.
    assert target.numbers() == ["1", "3", "4", "5"]
    assert target.become(sources()) == ["DELETE 1"]


@pytest.mark.parametrize("origin", [UNSET, ""])
def test_a_list_of_no_known_origin_takes_only_rows_of_its_own_suppliers_away(origin: Any) -> None:
    target = Target(row(), *OTHERS)
    assert target.become(sources(source(), origin=origin)) == ["DELETE 7"]
    assert target.become(sources(origin=origin)) == []


def test_a_block_of_everybody_is_for_people_to_enter_and_is_found_afterwards() -> None:
    blocked = source("", is_blocked=True, organisation="")
    wanted = sources(source(), blocked)
    found = seen(wanted)
    assert "Row of all suppliers from 2026-03-01: missing" in found.differences
    with pytest.raises(Conflict, match="block-missing") as conflict:
        next_write(wanted, found)
    assert conflict.value.where == "source-list/1010/SEAL/7"
    held = row("2", "", SourceOfSupplyIsBlocked=True, PurchasingOrganization="")
    assert seen(wanted, row(), held).equal
    target = Target(row(), held | {"ValidityEndDate": JUNE_TEXT})
    assert target.become(wanted) == ["PATCH 2"]
    assert target.become(sources(source())) == ["DELETE 2"]


# --- contracts ---

ON = source(contract="C-7", contract_line="10")


def test_a_contract_is_written_by_the_number_that_it_has_at_the_target() -> None:
    target = Target(held=(contract("4600000042", "C-7"),))
    assert target.become(sources(ON)) == ["POST 1"]
    (held,) = target.rows
    assert held["PurchaseOutlineAgreement"] == "4600000042"
    assert held["PurchaseOutlineAgreementItem"] == "10"
    assert target.looks == [""]
    held["PurchaseOutlineAgreementItem"] = "00010"
    assert target.become(sources(ON)) == []


def test_each_contract_is_looked_for_once() -> None:
    target = Target(held=(contract("46", "C-7"), contract("47", "C-8")))
    again = msgspec.structs.replace(ON, first_day=JULY, contract="C-8")
    third = msgspec.structs.replace(ON, first_day=date(2027, 1, 1))
    target.become(sources(ON, again, third))
    assert target.looks == ["", ""]
    assert [each["PurchaseOutlineAgreement"] for each in target.rows] == ["46", "47", "46"]


def test_a_contract_of_the_targets_own_is_found_by_its_number() -> None:
    own = msgspec.structs.replace(ON, contract="4600000042")
    target = Target(held=(contract("4600000042"),))
    assert target.become(sources(own)) == ["POST 1"]
    assert target.looks == ["", "('4600000042')"]
    too_long = msgspec.structs.replace(ON, contract="C-000000000007")
    with pytest.raises(Rejected, match="contract-unknown"):
        target.look(sources(too_long))
    # It could be no reference: nobody asks for it.
    assert target.looks == []


@pytest.mark.parametrize(
    ("number", "held"),
    [
        ("C-7", []),
        ("C-7", [contract("4600000042", "C-8")]),
        ("C-7", [contract("4600000042", "C-7", supplier=SECOND)]),
        ("C-7", [contract("4600000042", "C-7", PurchasingDocumentDeletionCode="L")]),
        ("4600000042", [contract("4600000042", supplier=SECOND)]),
        ("4600000042", [contract("4600000042", PurchasingDocumentDeletionCode="X")]),
        ("4600000042", [contract("4600000042", to_PurchaseContractItem={"results": []})]),
        (
            "4600000042",
            [
                contract(
                    "4600000042",
                    to_PurchaseContractItem={
                        "results": [{"PurchaseContractItem": "10", "Material": "BOLT"}]
                    },
                )
            ],
        ),
    ],
)
def test_trap_a_contract_that_is_not_there_is_never_taken_for_another_one(
    number: str, held: list[dict[str, Any]]
) -> None:
    wanted = sources(msgspec.structs.replace(ON, contract=number))
    with pytest.raises(Rejected, match="contract-unknown") as refused:
        Target(held=tuple(held)).look(wanted)
    assert number in refused.value.what


def test_two_contracts_that_refer_to_one_are_for_a_person() -> None:
    with pytest.raises(SuspectedDuplicate, match="contract-ambiguous"):
        Target(held=(contract("46", "C-7"), contract("47", "C-7"))).look(sources(ON))


def test_a_row_that_moves_to_another_contract_or_off_it_is_changed() -> None:
    target = Target(held=(contract("46", "C-7"), contract("47", "C-8")))
    target.become(sources(ON))
    moved = msgspec.structs.replace(ON, contract="C-8")
    found = target.look(sources(moved))
    assert isinstance(found, Present)
    assert found.differences == (
        "Row 1, supplier 17300001 contract 46/10 from 2026-03-01 PurchaseOutlineAgreement: 46,"
        " wanted 47",
        "Row 1, supplier 17300001 contract 46/10 from 2026-03-01 PurchaseOutlineAgreementItem: 10,"
        " wanted 10",
    )
    assert target.become(sources(moved)) == ["PATCH 1"]
    assert target.become(sources(source())) == ["PATCH 1"]
    assert target.rows[0]["PurchaseOutlineAgreement"] == ""


# --- any list becomes any other ---

HELD = (contract("46", "C-7"), contract("47", "C-8"), contract("48", "C-9", SECOND))
bought = st.sampled_from(
    [(FIRST, ""), (FIRST, "C-7"), (FIRST, "C-8"), (SECOND, ""), (SECOND, "C-9")]
)
source_rows = st.builds(
    lambda of, first, last, organisation, blocked: source(
        of[0],
        contract=of[1],
        contract_line="10" if of[1] else "",
        first_day=first,
        last_day=last,
        organisation=organisation,
        is_blocked=blocked,
    ),
    bought,
    st.sampled_from([MARCH, JULY]),
    st.sampled_from([date(2026, 12, 31), None]),
    st.sampled_from(["1010", "1020"]),
    st.booleans(),
)
source_lists = st.lists(
    source_rows,
    max_size=5,
    unique_by=lambda each: (
        each.supplier, each.contract, each.first_day, each.last_day, each.organisation,
    ),
).map(lambda found: sources(*found))  # fmt: skip


@given(source_lists, source_lists)
@example(sources(source(), source(SECOND)), sources(source(SECOND), source(first_day=JULY)))
@example(
    sources(source(), source(organisation="1020", is_blocked=True)),
    sources(source(organisation="1020"), source(is_blocked=True)),
)
def test_any_list_becomes_any_other_row_by_row(old: SourceList, new: SourceList) -> None:
    target = Target(held=HELD)
    target.become(old)
    target.become(new)
    assert target.become(new) == []
    assert len(target.rows) == len(new.sources)
    numbered = {each["PurchaseContract"]: each["CorrespncInternalReference"] for each in HELD}
    held = {
        (
            each["Supplier"],
            numbered.get(each["PurchaseOutlineAgreement"], ""),
            each["ValidityStartDate"],
            each["ValidityEndDate"],
            each["PurchasingOrganization"],
            each["SourceOfSupplyIsBlocked"],
        )
        for each in target.rows
    }
    texts = {MARCH: MARCH_TEXT, JULY: JULY_TEXT, None: NO_END}
    end = "/Date(1798675200000)/"
    assert held == {
        (
            each.supplier,
            each.contract,
            texts[each.first_day],
            end if each.last_day else NO_END,
            each.organisation,
            each.is_blocked,
        )
        for each in new.sources
    }


# --- answers ---


def confirm(body: dict[str, Any], status: int = 201) -> Confirmed:
    response = Response(status, JSON, msgspec.json.encode({"d": body}))
    return DRIVER.confirm(step_of(sources(source())), response)


def test_a_write_is_confirmed_with_plant_and_material() -> None:
    assert confirm(row("4")).reference == "1010/SEAL/7"
    assert DRIVER.confirm(step_of(sources()), Response(204, {}, b"")) == Confirmed()


@pytest.mark.parametrize("body", [row(Plant="1020"), row(Material="BOLT")])
def test_a_confirmation_of_another_list_is_not_tried_again(body: dict[str, Any]) -> None:
    with pytest.raises(Conflict, match="answer-about-another"):
        confirm(body)


def test_a_confirmation_that_names_nothing_is_in_doubt() -> None:
    with pytest.raises(InDoubt, match="answer-nameless"):
        confirm({"Supplier": FIRST})


# --- garbage ---


@given(st.data())
def test_garbage_raises_only_canonical_failures(data: st.DataObject) -> None:
    rows = [row("1"), row("2", SECOND, PurchaseOutlineAgreement="46")]
    found_contract = contract("46", "C-7")
    everything: dict[str, Any] = {"rows": rows, "contract": found_contract}
    container, name = data.draw(st.sampled_from(inside(everything)[2:]))
    container[name] = data.draw(VALUES | st.dates().map(str) | st.integers().map(str))
    step = step_of(sources(ON, source(SECOND, is_blocked=True)))
    try:
        found = DRIVER.read(step, listed(*rows))
        while isinstance(found, More):
            found = found.read(listed(found_contract))
        if isinstance(found, Present) and not found.equal:
            DRIVER.write(step, found, "key-1")
        DRIVER.confirm(step, one(rows[0]))
    except Failure:
        return
