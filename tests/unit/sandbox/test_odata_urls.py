"""Paths and query options of the ERP stand-in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.sandbox.odata import ROOT, Row, entity_path, load_model
from ops.sandbox.refusal import Refused
from ops.sandbox.resource import Resource, parse_filter, parse_query, parse_resource

MODEL = load_model()
BOM_KEY = "BillOfMaterial='1',BillOfMaterialCategory='M',BillOfMaterialVariant='1'"
BOM_KEY += ",BillOfMaterialVersion='',EngineeringChangeDocument='',Material='P',Plant='1010'"


def addressed(path: str) -> tuple[str, str | None, Row | None, str | None]:
    resource = parse_resource(MODEL, ROOT + path)
    return (
        resource.service.service,
        resource.entity_set.name if resource.entity_set else None,
        resource.key,
        resource.navigation.name if resource.navigation else None,
    )


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("API_PRODUCT_SRV/", ("API_PRODUCT_SRV", None, None, None)),
        ("API_PRODUCT_SRV/A_Product", ("API_PRODUCT_SRV", "A_Product", None, None)),
        (
            "API_PRODUCT_SRV/A_Product('X')",
            ("API_PRODUCT_SRV", "A_Product", {"Product": "X"}, None),
        ),
        (
            "API_PRODUCT_SRV/A_Product(Product='X')/to_Plant",
            ("API_PRODUCT_SRV", "A_Product", {"Product": "X"}, "to_Plant"),
        ),
        (
            "API_PRODUCT_SRV/A_ProductPlant(Plant='1010',Product='A%2FB%20''C')",
            ("API_PRODUCT_SRV", "A_ProductPlant", {"Product": "A/B 'C", "Plant": "1010"}, None),
        ),
        (
            "API_BILL_OF_MATERIAL_SRV;v=2/MaterialBOM",
            ("API_BILL_OF_MATERIAL_SRV", "MaterialBOM", None, None),
        ),
    ],
)
def test_a_path_addresses(path: str, expected: tuple[object, ...]) -> None:
    assert addressed(path) == expected


def test_a_key_of_seven_parts_may_have_empty_ones() -> None:
    _, _, key, _ = addressed(f"API_BILL_OF_MATERIAL_SRV;v=0002/MaterialBOM({BOM_KEY})")
    assert key is not None
    assert (key["BillOfMaterialVersion"], key["Material"], key["Plant"]) == ("", "P", "1010")


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("API_PRODUKT_SRV/A_Product", 404, "/IWFND/MED/170"),
        ("API_BILL_OF_MATERIAL_SRV/MaterialBOM", 404, "/IWFND/MED/170"),
        ("API_PRODUCT_SRV;v=0002/A_Product", 404, "/IWFND/MED/170"),
        ("API_PRODUCT_SRV/MaterialBOM", 404, "005056A509B11EE1B9A8FEC11C21578E"),
        ("API_PRODUCT_SRV/A_Product('X')/to_Plants", 404, "005056A509B11EE1B9A8FEC11C21578E"),
        ("API_PRODUCT_SRV/A_Product/to_Plant", 404, "005056A509B11EE1B9A8FEC11C21578E"),
        ("API_PRODUCT_SRV/A_Product(X)", 400, "ZSANDBOX/VALUE_TYPE"),
        ("API_PRODUCT_SRV/A_Product()", 400, "ZSANDBOX/KEY_PREDICATE"),
        ("API_PRODUCT_SRV/A_Product('X','Y')", 400, "ZSANDBOX/KEY_PREDICATE"),
        ("API_PRODUCT_SRV/A_Product('X'Y)", 400, "ZSANDBOX/KEY_PREDICATE"),
        ("API_PRODUCT_SRV/A_ProductPlant(Product='X')", 400, "ZSANDBOX/KEY_PREDICATE"),
        ("API_PRODUCT_SRV/A_ProductPlant('X')", 400, "ZSANDBOX/KEY_PREDICATE"),
        ("API_PRODUCT_SRV/A_Product(Plant='X')", 400, "ZSANDBOX/KEY_PREDICATE"),
    ],
)
def test_a_path_to_nothing_is_refused(path: str, status: int, code: str) -> None:
    with pytest.raises(Refused) as caught:
        addressed(path)
    assert (caught.value.status, caught.value.code) == (status, code)


@given(st.text(min_size=1, max_size=40).filter(lambda text: text.isprintable()))
def test_the_address_of_an_entity_leads_back_to_it(product: str) -> None:
    service, entity_set = MODEL.find("A_ProductPlant")
    key: Row = {"Product": product, "Plant": "1010"}
    path = entity_path(service, entity_set, key)
    assert parse_resource(MODEL, path) == Resource(service, entity_set, key)


def test_a_filter_is_read_as_values_in_the_form_they_are_stored() -> None:
    _, bom = MODEL.find("MaterialBOM")
    text = (
        "Material eq 'O''RING and SEAL' and BOMHeaderQuantityInBaseUnit eq 1.5M"
        " and IsMarkedForDeletion eq false"
        " and HeaderValidityStartDate eq datetime'2017-04-13T00:00:00'"
    )
    assert parse_filter(bom, text) == {
        "Material": "O'RING and SEAL",
        "BOMHeaderQuantityInBaseUnit": "1.500",
        "IsMarkedForDeletion": False,
        "HeaderValidityStartDate": "/Date(1492041600000)/",
    }


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"$filter": "Colour eq 'red'"}, "$filter names 'Colour'"),
        ({"$filter": "Product gt 'A'"}, "$filter is understood as"),
        ({"$filter": "Product eq 'A' or Product eq 'B'"}, "$filter is understood as"),
        ({"$filter": "Product eq 'A' and Product eq 'B'"}, "$filter is understood as"),
        ({"$filter": "Product eq 'A' and "}, "$filter is understood as"),
        ({"$filter": " "}, "$filter is understood as"),
        ({"$filter": "substringof('A',Product)"}, "$filter is understood as"),
        ({"$expand": "to_Nothing"}, "$expand names 'to_Nothing'"),
        ({"$expand": "to_Plant/to_Nothing"}, "$expand names 'to_Nothing'"),
        ({"$expand": "to_Nothing/to_Plant"}, "$expand names 'to_Nothing/to_Plant'"),
        ({"$select": "Colour"}, "$select names 'Colour'"),
        ({"$select": "to_Plant/Plant"}, "'to_Plant' is not expanded"),
        ({"$select": "to_Plant/Colour", "$expand": "to_Plant"}, "names 'Colour', which API_"),
        ({"$top": "-1"}, "$top must be a number"),
        ({"$orderby": "Product"}, "$orderby is not supported"),
        ({"$format": "atom"}, "$format must be json"),
    ],
)
def test_a_query_the_stand_in_does_not_understand_is_refused(
    options: dict[str, str], reason: str
) -> None:
    with pytest.raises(Refused) as caught:
        parse_query(MODEL, MODEL.find("A_Product")[1], options)
    assert (caught.value.status, caught.value.code) == (400, "ZSANDBOX/QUERY_OPTION")
    assert reason in caught.value.text


def test_children_of_children_are_inlined_with_what_is_selected_of_each() -> None:
    _, orders = MODEL.find("A_PurchaseOrder")
    options = {
        "$expand": "to_PurchaseOrderItem,to_PurchaseOrderItem/to_ScheduleLine",
        "$select": "PurchaseOrder,to_PurchaseOrderItem/Material,"
        "to_PurchaseOrderItem/to_ScheduleLine/ScheduleLine",
    }
    shape = parse_query(MODEL, orders, options).shape
    assert shape.select == ("PurchaseOrder",)
    [(items, of_item)] = shape.expand
    assert (items.name, of_item.select) == ("to_PurchaseOrderItem", ("Material",))
    [(schedule, of_line)] = of_item.expand
    assert (schedule.name, of_line.select) == ("to_ScheduleLine", ("ScheduleLine",))
    assert of_line.expand == ()
    # A path leads through what stands before it, named or not.
    short = {"$expand": "to_PurchaseOrderItem/to_ScheduleLine"}
    [(items, of_item)] = parse_query(MODEL, orders, short).shape.expand
    assert (items.name, len(of_item.expand)) == ("to_PurchaseOrderItem", 1)
