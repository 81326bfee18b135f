"""Suppliers of S/4HANA: what a business partner that was read after an event becomes."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from canonical.codec import encode
from canonical.effects import Effect, Emit, Fetch, Open, Put
from canonical.errors import InvalidMessage
from canonical.facts import Facts, Known
from canonical.handler import Delivery
from canonical.money import Money
from canonical.supplier_master import (
    CompanyPatch,
    PurchasingPatch,
    SupplierMaster,
    SupplierMasterPatch,
)
from handlers.flows.master_data import SUPPLIER_MASTER_CHANGED
from handlers.systems.s4.inbound import HANDLER_EVENT, HANDLER_PARTNER
from tests.corpus import CORPUS, golden
from tests.fixtures.gearbox import NOW, RULES, facts

SAMPLES = CORPUS / "s4"
READ_AT = "2026-03-02T11:59:58.000250+00:00"
READ = datetime(2026, 3, 2, 11, 59, 58, 250, tzinfo=UTC)
READ_US = 1_772_452_798_000_250
KNOWN = SupplierMaster("100042", 1, name="Teller Precision")

Edit = Callable[[dict[str, Any]], None]

STANDARD = {
    "AddressUsage": "XXDEFAULT",
    "ValidityStartDate": "/Date(1514764800000+0000)/",  # 2018-01-01
    "ValidityEndDate": "/Date(253402300799000+0000)/",  # the end of all days
}
ADDRESS: dict[str, Any] = {
    "AddressID": "27601",
    "StreetName": "Ringweg",
    "HouseNumber": "7",
    "HouseNumberSupplementText": "b",
    "District": "Söflingen",
    "PostalCode": "89077",
    "CityName": "Ulm",
    "Region": "08",
    "Country": "DE",
    "POBox": "4711",
    "POBoxPostalCode": "89008",
    "POBoxDeviatingCityName": "Neu-Ulm",
    "Language": "de",
    "to_AddressUsage": {"results": [STANDARD]},
}
PARTNER: dict[str, Any] = {
    "BusinessPartner": "9000017",
    "Supplier": "100042",
    "BusinessPartnerCategory": "2",
    "OrganizationBPName1": "Teller Precision",
    "OrganizationBPName2": "Seals & Rings",
    "OrganizationBPName3": "",
    "OrganizationBPName4": None,
    "GroupBusinessPartnerName1": "",
    "GroupBusinessPartnerName2": "",
    "CreationDate": "/Date(1520380800000)/",  # 2018-03-07
    "LastChangeDate": "/Date(1583452800000)/",  # 2020-03-06
    "to_Supplier": {
        "Supplier": "0000100042",
        "SupplierName": "Teller Precision Seals & Rings",
        "SupplierAccountGroup": "SUPL",
        "SupplierCorporateGroup": "TELLER",
        "SupplierProcurementBlock": "05",
        "AlternativePayeeAccountNumber": "0000100077",
        "VATRegistration": "DE123456789",
        "TaxNumber1": "123/456/78901",
        "TaxNumber2": "",
        "TaxNumber5": "HRB 70042",
        "PostingIsBlocked": False,
        "PurchasingIsBlocked": True,
        "DeletionIndicator": False,
        "to_SupplierCompany": {
            "results": [
                {
                    "CompanyCode": "1010",
                    "PaymentTerms": "NT30",
                    "ReconciliationAccount": "0021100000",
                    "PaymentBlockingReason": "A",
                    "AlternativePayee": "",
                    "SupplierIsBlockedForPosting": False,
                    "DeletionIndicator": False,
                },
                {"CompanyCode": "2010", "DeletionIndicator": True},
            ]
        },
        "to_SupplierPurchasingOrg": {
            "results": [
                {
                    "PurchasingOrganization": "1010",
                    "PurchaseOrderCurrency": "EUR",
                    "PaymentTerms": "NT45",
                    "IncotermsClassification": "FCA",
                    "IncotermsTransferLocation": "Ulm, Ringweg",
                    "IncotermsLocation1": "Ulm, Ringweg, gate 3",
                    "MinimumOrderAmount": "250.000",
                    "PurchasingGroup": "001",
                    "MaterialPlannedDeliveryDurn": "12",
                    "PurchasingIsBlockedForSupplier": False,
                    "DeletionIndicator": False,
                },
                {
                    "PurchasingOrganization": "3010",
                    "PurchaseOrderCurrency": "JPY",
                    "MinimumOrderAmount": "1500.000",
                    "MaterialPlannedDeliveryDurn": "0",
                    "PurchasingIsBlockedForSupplier": True,
                    "DeletionIndicator": True,
                },
            ]
        },
    },
    "to_BusinessPartnerAddress": {"results": [ADDRESS]},
}


def sample(name: str) -> Any:
    """One of the vendor's files."""
    return json.loads((SAMPLES / f"{name}.json").read_text())


def of_the_sandbox(*, supplier: bool) -> dict[str, Any]:
    """A partner of the sandbox, a customer as it stands there, or as the supplier of another file;
    its days as the service writes them."""
    head: dict[str, Any]
    [head] = sample("partner")
    for name in ("CreationDate", "LastChangeDate"):
        at = datetime.fromisoformat(head[name])
        head[name] = f"/Date({int(at.timestamp()) * 1000})/"
    addresses = [one | {"to_AddressUsage": {"results": []}} for one in sample("partner-addresses")]
    held = sample("supplier") | {
        "to_SupplierCompany": {"results": []},
        "to_SupplierPurchasingOrg": {"results": sample("supplier-organisations")},
    }
    return head | {
        "Supplier": held["Supplier"] if supplier else "",
        "to_Supplier": held if supplier else None,
        "to_BusinessPartnerAddress": {"results": addresses},
    }


def edited(edit: Edit) -> dict[str, Any]:
    changed = copy.deepcopy(PARTNER)
    edit(changed)
    return changed


def with_fields(**fields: object) -> Edit:
    return lambda entity: entity.update(fields)


def supplier_with(**fields: object) -> Edit:
    return lambda entity: entity["to_Supplier"].update(fields)


def company_with(**fields: object) -> Edit:
    return lambda entity: entity["to_Supplier"]["to_SupplierCompany"]["results"][0].update(fields)


def organisation_with(**fields: object) -> Edit:
    return lambda entity: entity["to_Supplier"]["to_SupplierPurchasingOrg"]["results"][0].update(
        fields
    )


def address_with(**fields: object) -> Edit:
    return lambda entity: entity["to_BusinessPartnerAddress"]["results"][0].update(fields)


def with_addresses(*addresses: dict[str, Any]) -> Edit:
    return with_fields(to_BusinessPartnerAddress={"results": list(addresses)})


def used(city: str, *usages: dict[str, Any]) -> dict[str, Any]:
    """An address in that city with these usages."""
    return ADDRESS | {"CityName": city, "to_AddressUsage": {"results": list(usages)}}


def answer(content: object, subject: str = "9000017") -> Delivery:
    attributes = {"id": "step/7/1", "subject": f"business-partner/{subject}", "time": READ_AT}
    return Delivery("erp", "", json.dumps(content).encode(), attributes=attributes)


def effects_of(
    entity: dict[str, Any] | None, *known: SupplierMaster, subject: str = "9000017"
) -> tuple[Effect, ...]:
    content: dict[str, Any] = {"gone": True, "id": subject} if entity is None else {"d": entity}
    message = HANDLER_PARTNER.read(answer(content, subject))
    return HANDLER_PARTNER.decide(message, facts(*known), NOW)


def said(entity: dict[str, Any]) -> tuple[SupplierMasterPatch, list[Open]]:
    event, *cases = effects_of(entity)
    assert isinstance(event, Emit)
    assert isinstance(event.data, SupplierMasterPatch)
    assert (event.event, event.key) == (
        "supplier-master.changed",
        f"supplier-master/{event.data.number}",
    )
    return event.data, [case for case in cases if isinstance(case, Open)]


def patch_of(edit: Edit) -> SupplierMasterPatch:
    found, cases = said(edited(edit))
    assert cases == []
    return found


def refusal(act: Callable[[], object]) -> InvalidMessage:
    with pytest.raises(InvalidMessage) as caught:
        act()
    assert caught.value.remedy
    return caught.value


# --- events ---


def test_an_event_asks_for_a_read_of_its_partner_under_a_key_of_the_partners_own() -> None:
    attributes = {
        "id": "1fad4742",
        "source": "/default/sap.s4.beh/730431274",
        "type": "sap.s4.beh.businesspartner.v1.BusinessPartner.Changed.v1",
    }
    delivery = Delivery(
        "erp-events", "", b'{"BusinessPartner": "0009000017"}', attributes=attributes
    )
    message = HANDLER_EVENT.read(delivery)
    # The supplier may have another number, and another supplier may have this one.
    assert message.envelope.key == "business-partner/9000017"
    assert HANDLER_EVENT.decide(message, Facts(RULES), NOW) == (
        Fetch("business-partner", "0009000017"),
    )


# --- suppliers ---


def test_the_partner_of_the_sandbox_comes_to_its_golden() -> None:
    partner = of_the_sandbox(supplier=True)
    assert json.loads((SAMPLES / "partner.answer.json").read_text()) == {"d": partner}
    found = effects_of(partner, subject="1000140")
    assert golden(found) == (SAMPLES / "partner.answer.golden.json").read_text()


def test_a_supplier_says_who_it_is() -> None:
    found, cases = said(PARTNER)
    assert cases == []
    assert (found.number, found.source_id) == ("100042", "0000100042")
    assert (found.name, found.name2, found.name3, found.name4) == (
        "Teller Precision",
        "Seals & Rings",
        None,
        None,
    )
    assert (found.street, found.district, found.postal_code, found.city) == (
        "Ringweg 7 b",
        "Söflingen",
        "89077",
        "Ulm",
    )
    assert (found.region, found.country, found.language) == ("08", "DE", "DE")
    assert (found.po_box, found.po_box_postal_code, found.po_box_city) == (
        "4711",
        "89008",
        "Neu-Ulm",
    )
    assert found.tax_numbers == {
        "vat": "DE123456789",
        "tax-1": "123/456/78901",
        "tax-2": None,
        "tax-5": "HRB 70042",
    }
    assert (found.account_group, found.group, found.remit_to) == ("SUPL", "TELLER", "100077")
    assert (found.is_posting_blocked, found.is_purchasing_blocked) == (False, True)
    assert (found.quality_block, found.is_deleted) == ("05", False)
    assert (found.version, found.stated_at) == (1_583_452_800_000_000, READ)


def test_companies_and_purchasing_organisations_say_their_terms() -> None:
    found, _ = said(PARTNER)
    assert found.companies == (
        CompanyPatch(
            "1010",
            payment_terms="NT30",
            reconciliation_account="21100000",
            payment_block="A",
            remit_to=None,
            is_posting_blocked=False,
            is_deleted=False,
        ),
        CompanyPatch("2010", is_deleted=True),
    )
    assert found.organisations == (
        PurchasingPatch(
            "1010",
            currency="EUR",
            payment_terms="NT45",
            incoterms="FCA",
            incoterms_place="Ulm, Ringweg, gate 3",
            minimum_order=Money(Decimal(250), "EUR"),
            purchasing_group="001",
            lead_time_days=12,
            is_purchasing_blocked=False,
            is_deleted=False,
        ),
        PurchasingPatch(
            "3010",
            currency="JPY",
            minimum_order=Money(Decimal(1500), "JPY"),
            lead_time_days=None,
            is_purchasing_blocked=True,
            is_deleted=True,
        ),
    )


def test_trap_a_partner_may_have_another_number_than_the_supplier_that_it_is() -> None:
    (event,) = effects_of(PARTNER, KNOWN)
    assert isinstance(event, Emit)
    assert event.key == "supplier-master/100042"
    same = edited(with_fields(BusinessPartner="0000100042"))
    (event,) = effects_of(same, subject="100042")
    assert isinstance(event, Emit)
    assert event.key == "supplier-master/100042"


@pytest.mark.parametrize("named", ["", None])
def test_a_partner_that_is_no_supplier_says_nothing(named: str | None) -> None:
    assert effects_of(edited(with_fields(Supplier=named, to_Supplier=None)), KNOWN) == ()
    assert effects_of(of_the_sandbox(supplier=False), subject="1000140") == ()


def test_the_supplier_that_is_shown_counts_where_the_partner_names_none() -> None:
    assert patch_of(lambda entity: entity.pop("Supplier")).number == "100042"


def test_a_person_a_group_and_an_organisation_have_names_of_their_own() -> None:
    person = patch_of(with_fields(BusinessPartnerCategory="1", OrganizationBPName2="x"))
    assert (person.name, person.name2) == ("Teller Precision Seals & Rings", None)
    group = patch_of(
        with_fields(
            BusinessPartnerCategory="3",
            GroupBusinessPartnerName1="Teller & Sons",
            GroupBusinessPartnerName2="Partnership",
        )
    )
    assert (group.name, group.name2, group.name3) == ("Teller & Sons", "Partnership", None)
    untold = patch_of(lambda entity: entity.pop("BusinessPartnerCategory"))
    assert (untold.name, untold.name2, untold.name3, untold.name4) == (UNSET,) * 4


def test_trap_a_field_the_answer_lacks_is_as_it_was_and_an_empty_one_is_empty() -> None:
    def thin(entity: dict[str, Any]) -> None:
        held = entity["to_Supplier"]
        held |= {"SupplierCorporateGroup": "", "AlternativePayeeAccountNumber": None}
        for name in ("SupplierAccountGroup", "TaxNumber1", "PostingIsBlocked"):
            del held[name]
        company_with(ReconciliationAccount=None)(entity)
        organisation_with(PurchaseOrderCurrency="", MinimumOrderAmount="0.000")(entity)
        address = entity["to_BusinessPartnerAddress"]["results"][0]
        address |= {"District": "", "Language": None}
        for name in ("StreetName", "Region"):
            del address[name]

    found = patch_of(thin)
    assert (found.group, found.remit_to, found.district, found.language) == (None,) * 4
    assert (found.account_group, found.is_posting_blocked) == (UNSET, UNSET)
    assert (found.street, found.region) == (UNSET, UNSET)
    assert found.tax_numbers == {"vat": "DE123456789", "tax-2": None, "tax-5": "HRB 70042"}
    assert found.companies[0].reconciliation_account is None
    assert found.organisations[0].currency is None
    assert found.organisations[0].minimum_order is None


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"IncotermsLocation1": ""}, "Ulm, Ringweg"),
        ({"IncotermsLocation1": "", "IncotermsTransferLocation": ""}, None),
    ],
)
def test_a_place_is_the_long_one_where_there_is_one(
    fields: dict[str, object], place: str | None
) -> None:
    assert patch_of(organisation_with(**fields)).organisations[0].incoterms_place == place


def test_a_place_that_no_field_tells_is_as_it_was() -> None:
    def older(entity: dict[str, Any]) -> None:
        view = entity["to_Supplier"]["to_SupplierPurchasingOrg"]["results"][0]
        del view["IncotermsLocation1"]

    def oldest(entity: dict[str, Any]) -> None:
        older(entity)
        del entity["to_Supplier"]["to_SupplierPurchasingOrg"]["results"][0][
            "IncotermsTransferLocation"
        ]

    assert patch_of(older).organisations[0].incoterms_place == "Ulm, Ringweg"
    assert patch_of(oldest).organisations[0].incoterms_place is UNSET


@pytest.mark.parametrize(
    ("fields", "version"),
    [
        ({}, 1_583_452_800_000_000),
        ({"LastChangeDate": None}, 1_520_380_800_000_000),
        ({"LastChangeDate": "", "CreationDate": None}, READ_US),
    ],
)
def test_a_supplier_is_as_new_as_the_best_day_its_partner_tells(
    fields: dict[str, object], version: int
) -> None:
    assert patch_of(with_fields(**fields)).version == version


def test_of_two_reads_on_one_day_the_later_one_counts() -> None:
    known: SupplierMaster | None = None
    orders = []
    for city, time in (("Ulm", READ_AT), ("Bonn", "2026-03-02T12:30:00+00:00")):
        delivery = answer({"d": edited(address_with(CityName=city))})
        attributes = {**delivery.attributes, "time": time}
        message = HANDLER_PARTNER.read(msgspec.structs.replace(delivery, attributes=attributes))
        (event,) = HANDLER_PARTNER.decide(message, facts(), NOW)
        assert isinstance(event, Emit)
        sent = {"type": "com.layshaft.supplier-master.changed.v1", "id": "1", "subject": event.key}
        changed = SUPPLIER_MASTER_CHANGED.read(
            Delivery("layshaft", "", encode(event.data), attributes=sent)
        )
        documents = {event.key: Known(1, known)} if known else {}
        (put,) = SUPPLIER_MASTER_CHANGED.decide(changed, Facts(RULES, documents), NOW)
        assert isinstance(put, Put)
        assert isinstance(put.document, SupplierMaster)
        known = put.document
        orders.append(put.order)
    assert orders == sorted(set(orders))
    assert known is not None
    assert (known.city, known.name) == ("Bonn", "Teller Precision")


# --- addresses ---

LAPSED = STANDARD | {"ValidityEndDate": "/Date(1767225599000+0000)/"}  # the last second of 2025
LATER = STANDARD | {"ValidityStartDate": "/Date(1798761600000+0000)/"}  # 2027-01-01
DELIVERY = STANDARD | {"AddressUsage": "WE"}
EVER = {"AddressUsage": "XXDEFAULT", "ValidityStartDate": None, "ValidityEndDate": ""}


@pytest.mark.parametrize(
    "addresses",
    [
        (used("Ulm"),),
        (used("Ulm", DELIVERY),),
        (used("Bonn", LAPSED), used("Ulm", DELIVERY, STANDARD)),
        (used("Ulm", EVER), used("Bonn", LATER, DELIVERY), used("Kiel")),
    ],
)
def test_the_standard_address_of_the_day_counts_and_so_does_the_only_one(
    addresses: tuple[dict[str, Any], ...],
) -> None:
    found = patch_of(with_addresses(*addresses))
    assert (found.city, found.street) == ("Ulm", "Ringweg 7 b")


@pytest.mark.parametrize(
    ("addresses", "what"),
    [
        ((used("Ulm"), used("Bonn")), "0 of 2 addresses"),
        ((used("Ulm", LAPSED), used("Bonn", LATER)), "0 of 2 addresses"),
        ((used("Ulm", STANDARD), used("Bonn", EVER), used("Kiel")), "2 of 3 addresses"),
    ],
)
def test_an_address_of_several_that_none_or_two_could_be_is_a_case_and_not_taken(
    addresses: tuple[dict[str, Any], ...], what: str
) -> None:
    found, [case] = said(edited(with_addresses(*addresses)))
    assert (found.city, found.street, found.language, found.name) == (
        UNSET,
        UNSET,
        UNSET,
        "Teller Precision",
    )
    assert (case.code, case.where, case.owner) == (
        "address-unclear",
        "supplier 100042, to_BusinessPartnerAddress",
        "master data",
    )
    assert case.what.startswith(what)


def test_a_partner_without_an_address_says_nothing_of_it() -> None:
    found = patch_of(with_addresses())
    assert (found.city, found.street, found.country) == (UNSET,) * 3


# --- what cannot be understood ---


@pytest.mark.parametrize(
    ("edit", "code", "where"),
    [
        (with_fields(BusinessPartnerCategory="9"), "category-unmapped", "BusinessPartnerCategory"),
        (with_fields(BusinessPartnerCategory=""), "category-unmapped", "BusinessPartnerCategory"),
        (address_with(Language="D"), "language-unmapped", "to_BusinessPartnerAddress: Language"),
        (address_with(Language="Z1"), "language-unmapped", "to_BusinessPartnerAddress: Language"),
        (
            organisation_with(PurchaseOrderCurrency="DEM", MinimumOrderAmount="0.000"),
            "currency-unknown",
            "to_SupplierPurchasingOrg, 1010: PurchaseOrderCurrency",
        ),
        (
            organisation_with(PurchaseOrderCurrency=""),
            "currency-unknown",
            "to_SupplierPurchasingOrg, 1010: MinimumOrderAmount",
        ),
    ],
)
def test_a_word_that_is_in_no_table_is_a_case_and_the_rest_is_taken(
    edit: Edit, code: str, where: str
) -> None:
    found, [case] = said(edited(edit))
    assert (case.code, case.where, case.owner) == (code, f"supplier 100042, {where}", "master data")
    assert found.city == "Ulm"
    assert len(found.organisations) == 2


def test_a_minimum_order_in_no_currency_is_not_said() -> None:
    found, cases = said(edited(organisation_with(PurchaseOrderCurrency="DEM")))
    assert (found.organisations[0].currency, found.organisations[0].minimum_order) == (UNSET, UNSET)
    assert {case.code for case in cases} == {"currency-unknown"}
    assert len({case.where for case in cases}) == 2


@pytest.mark.parametrize(
    ("edit", "code", "where"),
    [
        (with_fields(BusinessPartner="9000018"), "answer-about-another", "ce-subject"),
        (with_fields(BusinessPartner=None), "id-empty", "BusinessPartner"),
        (with_fields(Supplier="100043"), "supplier-unclear", "Supplier, to_Supplier: Supplier"),
        (with_fields(to_Supplier=None), "supplier-unclear", "Supplier, to_Supplier: Supplier"),
        (supplier_with(Supplier=""), "id-empty", "to_Supplier: Supplier"),
        (company_with(CompanyCode=""), "id-empty", "to_SupplierCompany: CompanyCode"),
        (organisation_with(PurchasingOrganization=None), "id-empty",
         "to_SupplierPurchasingOrg: PurchasingOrganization"),
        (organisation_with(MinimumOrderAmount="1,5"), "number-malformed",
         "to_SupplierPurchasingOrg, 1010: MinimumOrderAmount"),
        (organisation_with(MaterialPlannedDeliveryDurn="1.5"), "number-malformed",
         "to_SupplierPurchasingOrg, 1010: MaterialPlannedDeliveryDurn"),
        (with_fields(LastChangeDate="2020-03-06"), "time-malformed",
         "LastChangeDate, CreationDate"),
        (address_with(CityName="Ulm\u200b"), "character-forbidden",
         "to_BusinessPartnerAddress: CityName"),
    ],
)  # fmt: skip
def test_what_cannot_be_understood_is_refused_with_its_place(
    edit: Edit, code: str, where: str
) -> None:
    failure = refusal(lambda: effects_of(edited(edit)))
    assert (failure.code, failure.where) == (code, where)


@pytest.mark.parametrize(
    "content",
    [
        {"d": edited(lambda entity: entity.pop("to_Supplier"))},
        {"d": edited(with_fields(to_Supplier={"__deferred": {"uri": "x"}}))},
        {"d": edited(supplier_with(to_SupplierCompany={"__deferred": {"uri": "x"}}))},
        {"d": edited(address_with(to_AddressUsage=None))},
        {"d": edited(lambda entity: entity.pop("to_BusinessPartnerAddress"))},
        {"d": None},
        {"d": PARTNER, "gone": True},
        {},
    ],
)
def test_an_answer_that_is_not_whole_is_none(content: object) -> None:
    refusal(lambda: HANDLER_PARTNER.read(answer(content)))


def test_bank_data_and_fields_nobody_knows_make_no_difference() -> None:
    def add(entity: dict[str, Any]) -> None:
        entity["to_BusinessPartnerBank"] = {"results": [{"IBAN": "DE02120300000000202051"}]}
        entity["BirthDate"] = "/Date(0)/"
        company_with(HouseBank="HB001", YY1_Own=[1])(entity)

    assert patch_of(add) == said(PARTNER)[0]


# --- gone ---


def test_a_partner_that_is_gone_is_a_case_where_a_supplier_has_its_number() -> None:
    message = HANDLER_PARTNER.read(answer({"gone": True}, "100042"))
    assert HANDLER_PARTNER.needs(message, facts()) == {"supplier-master/100042"}
    assert effects_of(None, subject="100042") == ()
    assert effects_of(None, KNOWN, subject="9000017") == ()
    (case,) = effects_of(None, KNOWN, subject="100042")
    assert case == Open(
        code="gone-at-erp",
        word="business_rule",
        what="The ERP has no business partner 100042 any more; the supplier of that number stays"
        " on record as it was",
        where="supplier-master/100042",
        remedy="Find out why it was deleted or archived, and what hangs on it",
        owner="master data",
    )


def test_a_later_read_is_newer_than_an_earlier_one_whatever_it_tells() -> None:
    assert HANDLER_PARTNER.version is not None
    for content in ({"d": PARTNER}, {"gone": True}):
        assert HANDLER_PARTNER.version(HANDLER_PARTNER.read(answer(content))) == READ_US
