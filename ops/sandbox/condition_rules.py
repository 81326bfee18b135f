"""What the ERP stand-in makes of the price of an info record: a condition record with its days,
which may have a scale. Only the lines of the scale are the client's to write."""

from ops.sandbox.erp_work import Work, check_unit, is_positive, record_of, require, row_of
from ops.sandbox.odata import Draft, Row, date_literal, filled, predicate
from ops.sandbox.refusal import Refused
from ops.sandbox.tables import Stored

VALIDITIES = "A_PurInfoRecdPrcgCndnValidity"
CONDITIONS = "A_PurInfoRecdPrcgCndn"
SUPPLEMENTS = "A_PurInfoRecdSuplmntPrcgCndn"
SCALES = "A_PurInfoRecdPrcgCndnScale"
PRICE = {"ConditionApplication": "M", "ConditionType": "PPR0"}
TERMS = ("PurchasingInfoRecord", "PurchasingInfoRecordCategory", "PurchasingOrganization", "Plant")


def keep_condition(work: Work, terms: Row) -> None:
    """The condition record says what the price of the terms says. It follows by itself: the journal
    tells what clients did."""
    if not is_positive(terms.get("NetPriceAmount")):
        return
    rate: Row = {
        **PRICE,
        "ConditionSequentialNumber": "01",
        "PricingScaleType": "A",
        "ConditionCalculationType": "C",
        "ConditionRateValue": terms["NetPriceAmount"],
        "ConditionRateValueUnit": terms["Currency"],
        "ConditionQuantity": terms["MaterialPriceUnitQty"],
        "ConditionQuantityUnit": terms["PurchaseOrderPriceUnit"],
    }
    held = work.tables.find(VALIDITIES, {name: terms[name] for name in TERMS})
    if held:
        number = str(row_of(held[0])["ConditionRecord"])
        work.tables.delete(VALIDITIES, held[0].key)
        (condition,) = work.tables.find(CONDITIONS, {"ConditionRecord": number})
        row = row_of(condition) | rate
        work.tables.replace(CONDITIONS, condition, record_of(row))
    else:
        number = f"{work.tables.next_number('ConditionRecord', first=10001):010}"
        _keep(work, CONDITIONS, {**rate, "ConditionRecord": number})
    days: Row = {
        "ConditionValidityStartDate": date_literal(work.now),
        "ConditionValidityEndDate": terms["PriceValidityEndDate"],
    }
    known = {name: terms[name] for name in (*TERMS, "Supplier", "Material")}
    _keep(work, VALIDITIES, {**PRICE, **known, **days, "ConditionRecord": number})


def _keep(work: Work, name: str, row: Row) -> None:
    _, entity_set = work.model.find(name)
    work.tables.insert(name, predicate(entity_set, row), record_of(filled(entity_set, row)))


def only_by_price(work: Work, draft: Draft) -> Stored:
    raise _by_price(draft.place)


def check_by_price(work: Work, row: Row, place: str) -> None:
    raise _by_price(place)


def _by_price(place: str) -> Refused:
    text = "A condition record is made of the price of an info record"
    return Refused(400, "ZSANDBOX/CONDITION_BY_PRICE", text, place)


def create_scale(work: Work, draft: Draft) -> Stored:
    """A line of the scale of a condition record."""
    require(draft, "ConditionRecord", "ConditionSequentialNumber", "ConditionScaleLine",
            "ConditionScaleQuantity", "ConditionScaleQuantityUnit", "ConditionRateValue",
            "ConditionRateValueUnit")  # fmt: skip
    check_scale(work, draft.row, draft.place)
    _say_that_scaled(work, draft.row)
    return work.insert(SCALES, draft.row)


def _say_that_scaled(work: Work, line: Row) -> None:
    """The condition record of the line says what its lines count."""
    (condition,) = work.tables.find(CONDITIONS, {"ConditionRecord": line["ConditionRecord"]})
    row = row_of(condition) | {"PricingScaleBasis": "C"}
    work.tables.replace(CONDITIONS, condition, record_of(row))


def check_scale(work: Work, row: Row, place: str) -> None:
    condition = work.get(CONDITIONS, ConditionRecord=row["ConditionRecord"])
    if condition is None:
        text = f"There is no condition record {row['ConditionRecord']}"
        raise Refused(400, "ZSANDBOX/CONDITION_MISSING", text, f"{place}ConditionRecord")
    check_unit(row, "ConditionScaleQuantityUnit", place)
    if row["ConditionRateValueUnit"] != condition["ConditionRateValueUnit"]:
        text = f"The scale is in {row['ConditionRateValueUnit']}, its price is not"
        raise Refused(400, "ZSANDBOX/SCALE_CURRENCY", text, f"{place}ConditionRateValueUnit")
    same = {name: row[name] for name in ("ConditionRecord", "ConditionScaleQuantity")}
    lines = {row_of(one)["ConditionScaleLine"] for one in work.tables.find(SCALES, same)}
    if lines - {row["ConditionScaleLine"]}:
        text = f"There is a line from {row['ConditionScaleQuantity']} on"
        raise Refused(400, "ZSANDBOX/SCALE_TWICE", text, f"{place}ConditionScaleQuantity")
