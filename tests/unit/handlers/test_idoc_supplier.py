"""Supplier masters out of IDocs: an IDoc of ours, shaped like the public field lists of CREMAS."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from msgspec import UNSET

from canonical.codec import encode
from canonical.effects import Effect, Emit, Open, Put
from canonical.errors import Failure
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
from handlers.systems.idoc.inbound import HANDLER
from tests.corpus import CORPUS
from tests.fixtures.gearbox import NOW, RULES

CREMAS = (CORPUS / "idoc" / "cremas.made.xml").read_text()


def effects(text: str = CREMAS) -> tuple[Effect, ...]:
    message = HANDLER.read(Delivery("erp", "", text.encode()))
    return HANDLER.decide(message, Facts(RULES), NOW)


def said(text: str = CREMAS) -> tuple[SupplierMasterPatch, list[Open]]:
    """The patch and the cases of a document."""
    event, *cases = effects(text)
    assert isinstance(event, Emit)
    assert isinstance(event.data, SupplierMasterPatch)
    assert (event.event, event.key) == (
        "supplier-master.changed",
        f"supplier-master/{event.data.number}",
    )
    return event.data, [case for case in cases if isinstance(case, Open)]


def test_the_supplier_says_what_the_file_says() -> None:
    found, _ = said()
    assert (found.number, found.source_id) == ("100042", "0000100042")
    assert (found.name, found.name2, found.name3, found.name4) == (
        "Teller Precision",
        "Seals & Rings",
        UNSET,
        None,
    )
    assert (found.street, found.district, found.postal_code, found.city) == (
        "Ringweg 7",
        "Söflingen",
        "89077",
        "Ulm",
    )
    assert (found.region, found.country, found.language) == ("08", "DE", "DE")
    assert (found.po_box, found.po_box_postal_code, found.po_box_city) == ("4711", "89008", "Ulm")
    assert found.tax_numbers == {
        "vat": "DE123456789",
        "tax-1": "123/456/78901",
        "tax-2": None,
        "tax-5": "HRB 70042",
    }
    assert (found.account_group, found.group, found.remit_to) == ("KRED", "TELLER", "100077")
    assert (found.is_posting_blocked, found.is_purchasing_blocked) == (False, True)
    assert (found.quality_block, found.is_deleted) == ("05", False)
    assert found.stated_at == datetime(2026, 3, 2, 8, 14, 59, tzinfo=UTC)


def test_companies_and_purchasing_organisations_say_what_the_file_says() -> None:
    found, cases = said()
    assert found.companies == (
        CompanyPatch(
            "1000",
            payment_terms="NT30",
            reconciliation_account="160000",
            payment_block="A",
            remit_to=None,
            is_posting_blocked=False,
            is_deleted=False,
        ),
        CompanyPatch("2000", is_deleted=True),
    )
    assert found.organisations == (
        PurchasingPatch(
            "1000",
            currency="EUR",
            payment_terms="NT45",
            incoterms="FCA",
            incoterms_place="Ulm",
            minimum_order=Money(Decimal(250), "EUR"),
            purchasing_group="C01",
            lead_time_days=12,
            is_confirmation_required=True,
            is_purchasing_blocked=False,
            is_deleted=False,
        ),
        PurchasingPatch(
            "3000",
            currency="JPY",
            lead_time_days=0,
            is_purchasing_blocked=True,
            is_deleted=True,
        ),
    )
    assert [(case.code, case.owner) for case in cases] == [("amount-ambiguous", "master data")]
    assert "supplier 100042, E1LFM1M, line" in cases[0].where


@pytest.mark.parametrize("field", ["99988877", "5544332211", "Bank Account Holder", "HB001"])
def test_nothing_of_a_bank_account_is_copied(field: str) -> None:
    assert field in CREMAS
    assert all(field.encode() not in encode(effect) for effect in effects())


def test_trap_a_number_of_digits_is_padded_and_another_one_is_not() -> None:
    assert said(CREMAS.replace(">0000100042<", ">100042<"))[0].number == "100042"
    assert said(CREMAS.replace(">0000100042<", ">TELLER<"))[0].number == "TELLER"


def test_the_language_is_iso_where_it_is_given_and_mapped_where_it_is_not() -> None:
    iso = CREMAS.replace("<SPRAS>D</SPRAS>", "<SPRAS>D</SPRAS><SPRAS_ISO>fr</SPRAS_ISO>")
    assert said(iso)[0].language == "FR"
    assert said(CREMAS.replace("<SPRAS>D<", "<SPRAS>/<"))[0].language is UNSET
    assert said(CREMAS.replace("<SPRAS>D<", "<SPRAS><"))[0].language is None
    unknown, cases = said(CREMAS.replace("<SPRAS>D<", "<SPRAS>#<"))
    assert unknown.language is UNSET
    assert "language-unmapped" in {case.code for case in cases}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda t: t.replace("<MINBW2></", "<MINBW2>99.50</"), Money(Decimal("99.5"), "EUR")),
        (lambda t: t.replace("<MINBW>250.00<", "<MINBW>0.00<"), None),
        (lambda t: t.replace("<MINBW>250.00<", "<MINBW>/<"), UNSET),
        (lambda t: t.replace("<WAERS>EUR<", "<WAERS>/<"), UNSET),
        (lambda t: t.replace("<WAERS>EUR<", "<WAERS>XXQ<"), UNSET),
    ],
)
def test_a_minimum_order_is_said_with_its_currency_or_not_at_all(
    change: Callable[[str], str], found: object
) -> None:
    assert said(change(CREMAS))[0].organisations[0].minimum_order == found


def test_a_supplier_that_is_deleted_says_so() -> None:
    gone = CREMAS.replace("<MSGFN>005</MSGFN>", "<MSGFN>003</MSGFN>", 1)
    assert said(gone)[0].is_deleted is True
    assert said(CREMAS.replace("<LOEVM></", "<LOEVM>X</", 1))[0].is_deleted is True


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda t: t.replace(">0000100042<", "><"), "field-missing"),
        (lambda t: t.replace("E1LFA1M", "E1LFA1X"), "segment-missing"),
        (lambda t: t.replace("<PLIFZ>12 <", "<PLIFZ>soon<"), "number-malformed"),
        (lambda t: t.replace("<EKORG>1000<", "<EKORG><"), "id-empty"),
        (lambda t: t.replace("<IDOCTYP>CREMAS05", "<IDOCTYP>CREMAS99"), "idoc-unknown"),
        (lambda t: t.replace("<LOEVM></", "<LOEVM>L</", 1), "word-unmapped"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_its_place(
    change: Callable[[str], str], code: str
) -> None:
    with pytest.raises(Failure) as refused:
        said(change(CREMAS))
    assert refused.value.code == code
    assert refused.value.where


def test_patches_of_a_supplier_come_to_what_the_erp_has() -> None:
    first, _ = said()
    second = SupplierMasterPatch(
        first.number,
        first.version + 1,
        name2=None,
        is_purchasing_blocked=False,
        companies=(CompanyPatch("1000", payment_block=None),),
    )
    known: SupplierMaster | None = None
    for patch in (first, second):
        documents = {"supplier-master/100042": Known(1, known)} if known else {}
        attributes = {
            "type": "com.layshaft.supplier-master.changed.v1",
            "id": "1",
            "subject": "supplier-master/100042",
        }
        delivery = Delivery("layshaft", "", encode(patch), attributes=attributes)
        message = SUPPLIER_MASTER_CHANGED.read(delivery)
        (put,) = SUPPLIER_MASTER_CHANGED.decide(message, Facts(RULES, documents), NOW)
        assert isinstance(put, Put)
        assert (put.key, put.version) == ("supplier-master/100042", patch.version)
        assert isinstance(put.document, SupplierMaster)
        known = put.document
    assert known is not None
    assert (known.name, known.name2, known.is_purchasing_blocked) == ("Teller Precision", "", False)
    assert [(one.company, one.payment_block, one.payment_terms) for one in known.companies] == [
        ("1000", "", "NT30"),
        ("2000", "", ""),
    ]
    assert known.tax_numbers == {
        "tax-1": "123/456/78901",
        "tax-5": "HRB 70042",
        "vat": "DE123456789",
    }


def test_a_part_of_an_object_passes_nothing_that_waits() -> None:
    message = HANDLER.read(Delivery("erp", "", CREMAS.encode()))
    assert HANDLER.version is not None
    assert HANDLER.version(message) is None
