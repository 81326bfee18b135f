"""The ERP stand-in as its clients meet it: a process that refuses what the vendor would refuse."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Self

import aiohttp
import msgspec
import pytest

from ops.sandbox.process import StandIn, running
from tests.fixtures.stand_ins import serving

PRODUCT = "/sap/opu/odata/sap/API_PRODUCT_SRV"
BOM = "/sap/opu/odata/sap/API_BILL_OF_MATERIAL_SRV;v=0002"
INFO = "/sap/opu/odata/sap/API_INFORECORD_PROCESS_SRV"
SUPPLIER = "17300001"
SEED = {
    "plants": ["1010", "1020"],
    "purchasing_organizations": {"1010": ["1010", "1020"]},
    "suppliers": [SUPPLIER],
    "rows": {
        "A_Product": [
            {"Product": name, "ProductType": "HALB", "BaseUnit": unit}
            for name, unit in (("PUMP", "PC"), ("SEAL", "PC"), ("OIL", "KG"), ("HOSE", "M"))
        ],
        "A_ProductDescription": [
            {"Product": "SEAL", "Language": "EN", "ProductDescription": "Shaft seal"}
        ],
        # HOSE is known but not maintained in any plant.
        "A_ProductPlant": [
            {"Product": name, "Plant": "1010", "BaseUnit": unit}
            for name, unit in (("PUMP", "PC"), ("SEAL", "PC"), ("OIL", "KG"))
        ],
    },
}


class Client:
    """Speaks to the stand-in as a careful client would: logged in, with a token and its cookie."""

    def __init__(self, stand_in: StandIn, *, user: str = "demo", password: str = "demo") -> None:
        self.url = stand_in.url
        self.token = ""
        login = {"Authorization": aiohttp.encode_basic_auth(user, password)}
        jar = aiohttp.CookieJar(unsafe=True)  # the address is a number
        self.http = aiohttp.ClientSession(headers=login, cookie_jar=jar)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.close()

    async def fetch_token(self) -> None:
        headers = {"x-csrf-token": "Fetch"}
        async with self.http.get(f"{self.url}{PRODUCT}/", headers=headers) as response:
            self.token = response.headers["x-csrf-token"]

    async def send(self, method: str, path: str, body: object = None, **headers: str) -> "Answer":
        if method not in ("GET", "HEAD") and not self.token:
            await self.fetch_token()
        sent = {"x-csrf-token": self.token, "Content-Type": "application/json"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        data = body if isinstance(body, bytes | None) else msgspec.json.encode(body)
        url = path if path.startswith("http") else self.url + path
        async with self.http.request(method, url, data=data, headers=sent) as response:
            return Answer(response.status, dict(response.headers), await response.text())

    async def first(self, path: str) -> dict[str, Any]:
        """The first entity of a set."""
        answer = await self.send("GET", path)
        entity: dict[str, Any] = answer.document["d"]["results"][0]
        return entity


class Answer(msgspec.Struct, frozen=True):
    status: int
    headers: dict[str, str]
    text: str

    @property
    def document(self) -> Any:
        return msgspec.json.decode(self.text)

    @property
    def entity(self) -> Any:
        return self.document["d"]

    @property
    def refusal(self) -> tuple[int, str]:
        """Status and code; the text itself where the vendor sends no error document."""
        if self.headers["Content-Type"].startswith("application/json"):
            return self.status, self.document["error"]["code"]
        return self.status, self.text


@pytest.fixture
async def erp(tmp_path: Path) -> AsyncIterator[StandIn]:
    async with serving("erp", tmp_path / "erp", SEED) as stand_in:
        yield stand_in


def contents(stand_in: StandIn) -> dict[str, list[tuple[str, int, str]]]:
    """Every row of the business table, read from its file as anyone can."""
    with closing(sqlite3.connect(stand_in.folder / "business.db")) as database:
        names = [
            n for (n,) in database.execute("select name from sqlite_master where type='table'")
        ]
        return {n: database.execute(f'select * from "{n}"').fetchall() for n in names}


def product(name: str, **fields: object) -> dict[str, object]:
    return {"Product": name, "ProductType": "HALB", "BaseUnit": "PC", **fields}


def bom(material: str, *components: str, unit: str = "PC", plant: str = "1010") -> dict[str, Any]:
    return {
        "Material": material,
        "Plant": plant,
        "BillOfMaterialCategory": "M",
        "BillOfMaterialVariantUsage": "1",
        "to_BillOfMaterialItem": {
            "results": [
                {
                    "BillOfMaterialComponent": component,
                    "BillOfMaterialItemQuantity": "2.5",
                    "BillOfMaterialItemUnit": unit,
                }
                for component in components
            ]
        },
    }


def info_record(material: str = "SEAL", supplier: str = SUPPLIER, **terms: str) -> dict[str, Any]:
    organisation = {
        "PurchasingInfoRecordCategory": "0",
        "PurchasingOrganization": "1010",
        "Plant": "1010",
        "NetPriceAmount": "25.00",
        "MaterialPriceUnitQty": "1000",
        "Currency": "EUR",
        **terms,
    }
    return {
        "Supplier": supplier,
        "Material": material,
        "to_PurgInfoRecdOrgPlantData": {"results": [organisation]},
    }


async def test_twelve_wrong_requests_are_twelve_refusals_and_change_nothing(erp: StandIn) -> None:
    async with Client(erp) as client:
        await client.send("POST", f"{INFO}/A_PurchasingInfoRecord", info_record())
        seal = await client.send("GET", f"{PRODUCT}/A_Product('SEAL')")
        stale = seal.headers["Etag"]
        path = f"{PRODUCT}/A_Product('SEAL')"
        await client.send("PATCH", path, {"ProductOldID": "S-1"}, If_Match=stale)
        before, applied = contents(erp), await writes_applied(client)

        products = f"{PRODUCT}/A_Product"
        answers = [
            await client.send("POST", "/sap/opu/odata/sap/API_PRODUKT_SRV/A_Product", {}),
            await client.send("POST", f"{PRODUCT}/A_Produkt", product("P-1")),
            await client.send("POST", products, product("P-2", Colour="red")),
            await client.send("POST", products, product("P-3", NetWeight=1.5)),
            await client.send("POST", products, product("P-4", SizeOrDimensionText="x" * 33)),
            await client.send("POST", products, {"ProductType": "HALB", "BaseUnit": "PC"}),
            await client.send("POST", products, product("SEAL")),
            await client.send("POST", products, product("P-8"), x_csrf_token="stale"),
            await client.send("PATCH", path, {"ProductOldID": "S-2"}),
            await client.send("PATCH", path, {"ProductOldID": "S-2"}, If_Match=stale),
            await client.send("POST", f"{BOM}/MaterialBOM", bom("PUMP", "SEAL", "HOSE")),
            await client.send("POST", f"{INFO}/A_PurchasingInfoRecord", info_record()),
        ]

        assert [answer.refusal for answer in answers] == [
            (404, "/IWFND/MED/170"),
            (404, "005056A509B11EE1B9A8FEC11C21578E"),
            (400, "ZSANDBOX/PROPERTY_UNKNOWN"),
            (400, "ZSANDBOX/VALUE_TYPE"),
            (400, "ZSANDBOX/VALUE_TOO_LONG"),
            (400, "ZSANDBOX/PROPERTY_MISSING"),
            (400, "ZSANDBOX/KEY_EXISTS"),
            (403, "CSRF token validation failed"),
            (428, "ZSANDBOX/ETAG_MISSING"),
            (412, "ZSANDBOX/ETAG_STALE"),
            (400, "ZSANDBOX/BOM_COMPONENT_NOT_IN_PLANT"),
            (400, "ZSANDBOX/INFO_RECORD_EXISTS"),
        ]
        assert contents(erp) == before
        assert await writes_applied(client) == applied


async def writes_applied(client: Client) -> int:
    journal = await client.send("GET", "/_sandbox/journal?entries=no")
    return int(journal.document["totals"]["writes_applied"])


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        (f"{PRODUCT}/A_Product", product("P", BaseUnit="PCE"), "UNIT_UNKNOWN"),
        (f"{PRODUCT}/A_Product", product("P", CreatedByUser="ME"), "PROPERTY_READ_ONLY"),
        (f"{PRODUCT}/A_Product", product("P", NetWeight="1.2345"), "VALUE_OUT_OF_RANGE"),
        (f"{PRODUCT}/A_Product", product("P", to_Plant=[{"Plant": "9999"}]), "PLANT_UNKNOWN"),
        (f"{PRODUCT}/A_ProductPlant", {"Product": "NONE", "Plant": "1010"}, "PRODUCT_MISSING"),
        (f"{BOM}/MaterialBOM", bom("NONE", "SEAL"), "BOM_HEADER_MISSING"),
        (f"{BOM}/MaterialBOM", bom("PUMP", "SEAL", plant="1020"), "BOM_HEADER_NOT_IN_PLANT"),
        (f"{BOM}/MaterialBOM", bom("PUMP", "NONE"), "BOM_COMPONENT_MISSING"),
        (f"{BOM}/MaterialBOM", bom("PUMP", "PUMP"), "BOM_RECURSIVE"),
        (f"{BOM}/MaterialBOM", bom("PUMP", "OIL", unit="PC"), "UNIT_NOT_CONVERTIBLE"),
        (f"{BOM}/MaterialBOM", bom("PUMP", "SEAL", unit="PCE"), "UNIT_UNKNOWN"),
        (f"{BOM}/MaterialBOM", bom("PUMP") | {"BillOfMaterial": "00000009"}, "NUMBER_INTERNAL"),
        (f"{INFO}/A_PurchasingInfoRecord", info_record(supplier="1"), "SUPPLIER_UNKNOWN"),
        (f"{INFO}/A_PurchasingInfoRecord", info_record("NONE"), "PRODUCT_MISSING"),
        (f"{INFO}/A_PurchasingInfoRecord", info_record("HOSE"), "PRODUCT_NOT_IN_PLANT"),
        (f"{INFO}/A_PurchasingInfoRecord", info_record(Currency=""), "CURRENCY_MISSING"),
        (
            f"{INFO}/A_PurchasingInfoRecord",
            info_record(PurchasingOrganization="9999"),
            "PURCHASING_ORGANIZATION",
        ),
    ],
)
async def test_an_object_the_erp_cannot_accept_is_refused_as_a_whole(
    shared: StandIn, path: str, body: object, code: str
) -> None:
    before = contents(shared)
    async with Client(shared) as client:
        answer = await client.send("POST", path, body)
    assert answer.refusal == (400, f"ZSANDBOX/{code}")
    assert contents(shared) == before


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    """One stand-in for tests that leave it as they found it."""
    with running("erp", tmp_path_factory.mktemp("shared"), SEED) as stand_in:
        yield stand_in


async def test_a_refusal_names_the_component_that_is_missing(shared: StandIn) -> None:
    async with Client(shared) as client:
        answer = await client.send("POST", f"{BOM}/MaterialBOM", bom("PUMP", "SEAL", "HOSE"))
    detail = answer.document["error"]["innererror"]["errordetails"][0]
    assert detail["target"] == "to_BillOfMaterialItem(1)/BillOfMaterialComponent"
    assert detail["message"] == "Material HOSE is not maintained in plant 1010"


async def test_a_wrong_password_gets_a_page_not_a_document(shared: StandIn) -> None:
    async with Client(shared, password="wrong") as client:
        answer = await client.send("GET", f"{PRODUCT}/A_Product('SEAL')")
    assert answer.status == 401
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")


async def test_a_token_without_its_session_cookie_is_stale(shared: StandIn) -> None:
    async with Client(shared) as client:
        await client.fetch_token()
        client.http.cookie_jar.clear()
        answer = await client.send("POST", f"{PRODUCT}/A_Product", product("P"))
    assert answer.refusal == (403, "CSRF token validation failed")
    assert answer.headers["x-csrf-token"] == "Required"


async def test_a_product_is_created_with_its_texts_and_plants_and_read_back(erp: StandIn) -> None:
    body = product(
        "A/B 'C'",
        NetWeight="1.5",
        to_Description={"results": [{"Language": "EN", "ProductDescription": "Odd name"}]},
        to_Plant=[{"Plant": "1010", "ProcurementType": "F"}, {"Plant": "1020"}],
    )
    async with Client(erp) as client:
        created = await client.send("POST", f"{PRODUCT}/A_Product", body)
        assert created.status == 201
        path = f"{PRODUCT}/A_Product('A%2FB%20''C''')"
        assert created.headers["Location"] == erp.url + path
        read = await client.send("GET", f"{path}?$expand=to_Plant")
        counts = (await client.send("GET", "/_sandbox/counts")).document
    assert read.entity["NetWeight"] == "1.500"
    assert [p["Plant"] for p in read.entity["to_Plant"]["results"]] == ["1010", "1020"]
    assert read.entity["to_Description"] == {
        "__deferred": {"uri": f"{erp.url}{path}/to_Description"}
    }
    assert counts["A_ProductPlant"] == {"rows": 5, "by_plant": {"1010": 4, "1020": 1}}


async def test_a_bom_is_numbered_and_its_items_can_be_added_changed_and_deleted(
    erp: StandIn,
) -> None:
    async with Client(erp) as client:
        created = await client.send("POST", f"{BOM}/MaterialBOM", bom("PUMP", "SEAL"))
        assert created.status == 201
        assert created.entity["BillOfMaterial"] == "00000001"
        header = created.entity["__metadata"]["uri"]
        oil = {
            "BillOfMaterialComponent": "OIL",
            "BillOfMaterialItemQuantity": "40",
            "BillOfMaterialItemUnit": "G",
        }
        added = await client.send("POST", f"{header}/to_BillOfMaterialItem", oil)
        assert added.entity["BillOfMaterialItemNumber"] == "0020"

        tag = added.entity["__metadata"]["etag"]
        item = added.entity["__metadata"]["uri"]
        changed = await client.send(
            "PATCH", item, {"BillOfMaterialItemQuantity": "50"}, If_Match=tag
        )
        assert changed.status == 204
        stale = await client.send("DELETE", item, If_Match=tag)
        assert stale.refusal == (412, "ZSANDBOX/ETAG_STALE")
        deleted = await client.send("DELETE", item, If_Match=changed.headers["Etag"])
        assert deleted.status == 204

        query = "$filter=Material eq 'PUMP' and Plant eq '1010'&$expand=to_BillOfMaterialItem"
        found = await client.first(f"{BOM}/MaterialBOM?{query}")
        items = found["to_BillOfMaterialItem"]["results"]
        again = await client.send("POST", f"{BOM}/MaterialBOM", bom("PUMP", "SEAL"))
    assert [(i["BillOfMaterialComponent"], i["ComponentDescription"]) for i in items] == [
        ("SEAL", "Shaft seal")
    ]
    assert again.refusal == (400, "ZSANDBOX/BOM_EXISTS")


def change_set(*writes: str) -> bytes:
    """The writes as one batch."""
    head = "Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
    parts = "".join(f"--set\r\n{head}{write}\r\n" for write in writes)
    kind = "Content-Type: multipart/mixed; boundary=set"
    return f"--all\r\n{kind}\r\n\r\n{parts}--set--\r\n\r\n--all--\r\n".encode()


def added(header: str, component: str, quantity: str) -> str:
    """A line that is added, as a part of a change set."""
    body = msgspec.json.encode(
        {
            "BillOfMaterialComponent": component,
            "BillOfMaterialItemQuantity": quantity,
            "BillOfMaterialItemUnit": "G" if component == "OIL" else "M",
        }
    ).decode()
    kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}"
    return f"POST {header}/to_BillOfMaterialItem HTTP/1.1\r\n{kind}\r\n\r\n{body}"


async def test_a_change_set_is_carried_out_whole_or_not_at_all_and_each_write_is_on_record(
    erp: StandIn,
) -> None:
    path, kind = f"{BOM}/$batch", "multipart/mixed; boundary=all"
    async with Client(erp) as client:
        created = await client.send("POST", f"{BOM}/MaterialBOM", bom("PUMP", "SEAL"))
        header = created.entity["__metadata"]["uri"].rpartition("/")[2]
        before = contents(erp)
        wrong = change_set(added(header, "OIL", "40"), added(header, "HOSE", "1"))
        refused = await client.send("POST", path, wrong, Content_Type=kind)
        assert contents(erp) == before
        right = change_set(added(header, "OIL", "40"), added(header, "OIL", "50"))
        done = await client.send("POST", path, right, Content_Type=kind)
        blind = await client.send("POST", path, right, Content_Type=kind, x_csrf_token="stale")
        journal = (await client.send("GET", "/_sandbox/journal?kind=received")).document
    assert (refused.status, done.status) == (202, 202)
    assert refused.text.count("application/http") == 1
    assert "HTTP/1.1 400 Bad Request" in refused.text
    assert "Material HOSE is not maintained in plant 1010" in refused.text
    assert done.text.count("HTTP/1.1 201 Created") == 2
    assert blind.refusal == (403, "CSRF token validation failed")
    totals = journal["totals"]
    assert (totals["writes_received"], totals["writes_applied"]) == (5, 3)
    assert totals["changes"]["MaterialBOMItem"] == {"create": 3}
    assert totals["sent_again"] == {
        "writes": 1,
        "applied_once": 1,
        "applied_more_than_once": 0,
        "never_applied": 0,
    }
    assert [(e["method"], e.get("within", 0)) for e in journal["entries"] if e.get("is_write")] == [
        ("POST", 0), *[("POST", 3)] * 2, *[("POST", 6)] * 2,
    ]  # fmt: skip


async def test_a_batch_is_for_a_service_and_made_by_the_protocol(shared: StandIn) -> None:
    kind = "multipart/mixed; boundary=all"
    whole = change_set("DELETE A_Product('SEAL') HTTP/1.1\r\nIf-Match: *\r\n\r\n")
    async with Client(shared) as client:
        answers = [
            await client.send("POST", f"{PRODUCT}/$batch", {}),
            await client.send("POST", f"{PRODUCT}/A_Product/$batch", whole, Content_Type=kind),
            await client.send("PATCH", f"{PRODUCT}/$batch", whole, Content_Type=kind),
            await client.send("POST", "/sap/opu/odata/sap/NONE/$batch", whole, Content_Type=kind),
        ]
    assert [answer.refusal for answer in answers] == [
        (400, "ZSANDBOX/BATCH"),
        (405, "ZSANDBOX/METHOD"),
        (405, "ZSANDBOX/METHOD"),
        (404, "/IWFND/MED/170"),
    ]


async def test_one_supplier_and_material_keep_one_info_record_over_plants(erp: StandIn) -> None:
    async with Client(erp) as client:
        body = {"Product": "SEAL", "Plant": "1020"}
        await client.send("POST", f"{PRODUCT}/A_ProductPlant", body)
        first = await client.send("POST", f"{INFO}/A_PurchasingInfoRecord", info_record())
        second = await client.send(
            "POST", f"{INFO}/A_PurchasingInfoRecord", info_record(Plant="1020")
        )
        counts = (await client.send("GET", "/_sandbox/counts")).document
    assert first.entity["PurchasingInfoRecord"] == "5300000001"
    assert second.entity["PurchasingInfoRecord"] == "5300000001"
    assert counts["A_PurchasingInfoRecord"]["rows"] == 1
    assert counts["A_PurgInfoRecdOrgPlantData"]["by_plant"] == {"1010": 1, "1020": 1}


async def test_a_price_is_a_condition_record_that_may_have_a_scale(erp: StandIn) -> None:
    scales = f"{INFO}/A_PurInfoRecdPrcgCndnScale"
    line = {
        "ConditionRecord": "0000010001",
        "ConditionSequentialNumber": "01",
        "ConditionScaleLine": "0001",
        "ConditionScaleQuantity": "5000",
        "ConditionScaleQuantityUnit": "PC",
        "ConditionRateValue": "24",
        "ConditionRateValueUnit": "EUR",
    }
    path = (
        f"{scales}(ConditionRecord='0000010001',ConditionSequentialNumber='01',"
        "ConditionScaleLine='0001')"
    )
    validity = (
        f"{INFO}/A_PurgInfoRecdOrgPlantData(PurchasingInfoRecord='5300000001',"
        "PurchasingInfoRecordCategory='0',PurchasingOrganization='1010',Plant='1010')"
    )
    expand = "to_PurInfoRecdPrcgCndn,to_PurInfoRecdPrcgCndn/to_PurgInfoPricingCndnRecdScale"
    condition = f"{INFO}/A_PurInfoRecdPrcgCndn('0000010001')"
    async with Client(erp) as client:
        nowhere = await client.send("POST", scales, line)
        await client.send("POST", f"{INFO}/A_PurchasingInfoRecord", info_record())
        made = await client.send("POST", scales, line)
        taken = await client.send("POST", scales, line | {"ConditionScaleLine": "0002"})
        foreign = await client.send("PATCH", path, {"ConditionRateValueUnit": "USD"}, If_Match="*")
        by_hand = await client.send("PATCH", condition, {"ConditionRateValue": "1"}, If_Match="*")
        await client.send("PATCH", validity, {"NetPriceAmount": "26.00"}, If_Match="*")
        shown = await client.first(f"{validity}/to_PurInfoRecdPrcgCndnValidity?$expand={expand}")
        tag = made.headers["Etag"]
        deleted = await client.send("DELETE", path, If_Match=tag)
    assert nowhere.refusal == (400, "ZSANDBOX/CONDITION_MISSING")
    assert made.status == 201
    assert taken.refusal == (400, "ZSANDBOX/SCALE_TWICE")
    assert foreign.refusal == (400, "ZSANDBOX/SCALE_CURRENCY")
    assert by_hand.refusal == (400, "ZSANDBOX/CONDITION_BY_PRICE")
    kept = shown["to_PurInfoRecdPrcgCndn"]
    assert (kept["ConditionType"], kept["ConditionRateValue"]) == ("PPR0", "26.000")
    assert (kept["ConditionQuantity"], kept["ConditionQuantityUnit"]) == ("1000", "PC")
    (scale,) = kept["to_PurgInfoPricingCndnRecdScale"]["results"]
    assert (scale["ConditionScaleQuantity"], scale["ConditionRateValue"]) == ("5000.000", "24.000")
    assert deleted.status == 204
    assert contents(erp)["A_PurInfoRecdPrcgCndnScale"] == []


async def test_a_restart_keeps_the_business_table_and_forgets_the_tokens(tmp_path: Path) -> None:
    with running("erp", tmp_path, SEED) as stand_in:
        async with Client(stand_in) as client:
            await client.send("POST", f"{BOM}/MaterialBOM", bom("PUMP", "SEAL"))
            cookies, token = client.http.cookie_jar, client.token
            kept = contents(stand_in)
            session = next(iter(cookies)).value
    with running("erp", tmp_path, SEED) as stand_in:
        assert contents(stand_in) == kept
        async with Client(stand_in) as client:
            cookie = f"SAP_SESSIONID_LAY_100={session}"
            old = await client.send(
                "POST", f"{PRODUCT}/A_Product", product("P"), x_csrf_token=token, Cookie=cookie
            )
            assert old.refusal == (403, "CSRF token validation failed")
            await client.fetch_token()
            next_bom = await client.send(
                "POST", f"{BOM}/MaterialBOM", bom("SEAL", "OIL", unit="KG")
            )
            journal = (await client.send("GET", "/_sandbox/journal?kind=applied")).document
    assert next_bom.entity["BillOfMaterial"] == "00000002"
    assert journal["totals"]["changes"]["MaterialBOM"] == {"create": 2}


async def test_an_applied_but_unanswered_request_does_not_hold_up_others(erp: StandIn) -> None:
    rule = {"action": "apply_then_hang", "method": "POST", "path": "/A_Product$", "body": "HELD"}
    async with Client(erp) as client:
        await client.send("POST", "/_sandbox/faults", [rule])
        held = asyncio.create_task(client.send("POST", f"{PRODUCT}/A_Product", product("HELD")))
        async with asyncio.timeout(5):
            while await writes_applied(client) == 0:
                assert not held.done()
        read = await client.send("GET", f"{PRODUCT}/A_Product('HELD')")
        assert read.status == 200
        assert not held.done()
        held.cancel()
        await asyncio.gather(held, return_exceptions=True)
        again = await client.send("POST", f"{PRODUCT}/A_Product", product("HELD"))
        assert again.refusal == (400, "ZSANDBOX/KEY_EXISTS")
        journal = (await client.send("GET", "/_sandbox/journal?entries=no")).document
        faults = (await client.send("GET", "/_sandbox/faults")).document
    assert journal["totals"]["unanswered"] == 1
    assert journal["totals"]["sent_again"] == {
        "writes": 1,
        "applied_once": 1,
        "applied_more_than_once": 0,
        "never_applied": 0,
    }
    assert [listed["hits"] for listed in faults] == [1]


@pytest.mark.parametrize(
    ("action", "status", "is_applied"),
    [
        ("apply_then_500", 500, True),
        ("slow", 201, True),
        ("refuse_500", 500, False),
        ("refuse_400", 400, False),
        ("throttle_429", 429, False),
        ("login_page_200", 200, False),
    ],
)
async def test_a_fault_happens_once_and_says_whether_it_applied(
    erp: StandIn, action: str, status: int, is_applied: bool
) -> None:
    rule = {"action": action, "method": "POST", "seconds": 0.01, "retry_after_s": 7}
    async with Client(erp) as client:
        await client.fetch_token()
        await client.send("POST", "/_sandbox/faults", [rule])
        answer = await client.send("POST", f"{PRODUCT}/A_Product", product("NEW"))
        read = await client.send("GET", f"{PRODUCT}/A_Product('NEW')")
        other = await client.send("POST", f"{PRODUCT}/A_Product", product("OTHER"))
    assert answer.status == status
    assert answer.headers.get("Retry-After") == ("7" if status == 429 else None)
    assert (read.status == 200) == is_applied
    assert other.status == 201


async def test_a_reset_connection_leaves_the_change_behind(erp: StandIn) -> None:
    async with Client(erp) as client:
        await client.fetch_token()
        await client.send("POST", "/_sandbox/faults", [{"action": "reset", "method": "POST"}])
        with pytest.raises(aiohttp.ClientConnectionError):
            await client.send("POST", f"{PRODUCT}/A_Product", product("NEW"))
        read = await client.send("GET", f"{PRODUCT}/A_Product('NEW')")
    assert read.status == 200


async def test_a_refused_request_does_not_use_up_a_fault_that_applies(erp: StandIn) -> None:
    async with Client(erp) as client:
        await client.fetch_token()
        rule = {"action": "apply_then_500", "method": "POST"}
        await client.send("POST", "/_sandbox/faults", [rule])
        refused = await client.send("POST", f"{PRODUCT}/A_Product", product("SEAL"))
        spoilt = await client.send("POST", f"{PRODUCT}/A_Product", product("NEW"))
    assert refused.refusal == (400, "ZSANDBOX/KEY_EXISTS")
    assert spoilt.status == 500


async def test_a_planted_row_and_an_emptied_table_show_in_the_counts_and_the_journal(
    erp: StandIn,
) -> None:
    row = {"Product": "SEAL", "Plant": "1020"}
    async with Client(erp) as client:
        planted = await client.send("POST", "/_sandbox/table/A_ProductPlant", row)
        counts = (await client.send("GET", "/_sandbox/counts")).document
        emptied = await client.send("DELETE", "/_sandbox/table/A_ProductPlant")
        journal = (await client.send("GET", "/_sandbox/journal?kind=control")).document
        keyless = await client.send("POST", "/_sandbox/table/A_ProductPlant", {"Plant": "1020"})
    assert planted.status == 201
    assert counts["A_ProductPlant"]["by_plant"] == {"1010": 3, "1020": 1}
    assert emptied.document == {"deleted": 4}
    assert [entry["method"] for entry in journal["entries"]] == ["POST", "DELETE"]
    assert journal["totals"]["writes_applied"] == 0
    assert keyless.status == 400


async def test_a_set_is_paged_counted_and_narrowed(shared: StandIn) -> None:
    products = f"{PRODUCT}/A_Product"
    async with Client(shared) as client:
        page = await client.send(
            "GET", f"{products}?$skip=1&$top=2&$inlinecount=allpages&$select=Product"
        )
        count = await client.send("GET", f"{products}/$count")
        metres = await client.send("GET", f"{products}?$filter=BaseUnit eq 'M'")
        texts = await client.send("GET", f"{products}('SEAL')/to_Description")
        wrong = await client.send("GET", f"{products}?$filter=Price gt '1'")
    assert page.entity["__count"] == "4"
    assert [p["Product"] for p in page.entity["results"]] == ["SEAL", "OIL"]
    assert count.text == "4"
    assert [p["Product"] for p in metres.entity["results"]] == ["HOSE"]
    assert [t["ProductDescription"] for t in texts.entity["results"]] == ["Shaft seal"]
    assert wrong.refusal == (400, "ZSANDBOX/QUERY_OPTION")


ORDERS = "/sap/opu/odata/sap/API_PURCHASEORDER_PROCESS_SRV"


async def test_an_order_is_read_with_its_items_and_their_schedule_lines(erp: StandIn) -> None:
    orders = f"{ORDERS}/A_PurchaseOrder"
    rows: dict[str, dict[str, str]] = {
        "A_PurchaseOrder": {"PurchaseOrder": "45"},
        "A_PurchaseOrderItem": {"PurchaseOrder": "45", "PurchaseOrderItem": "10"},
        "A_PurchaseOrderScheduleLine": {
            "PurchasingDocument": "45",
            "PurchasingDocumentItem": "10",
            "ScheduleLine": "1",
        },
    }
    expand = "$expand=to_PurchaseOrderItem,to_PurchaseOrderItem/to_ScheduleLine"
    select = "$select=PurchaseOrder,to_PurchaseOrderItem/Material"
    async with Client(erp) as client:
        for name, row in rows.items():
            await client.send("POST", f"/_sandbox/table/{name}", row)
        whole = await client.send("GET", f"{orders}('45')?{expand}")
        narrow = await client.send("GET", f"{orders}('45')?{expand}&{select}")
        flat = await client.send("GET", f"{orders}('45')")
        gone = await client.send("GET", f"{orders}('46')")
    [item] = whole.entity["to_PurchaseOrderItem"]["results"]
    [line] = item["to_ScheduleLine"]["results"]
    assert (item["PurchaseOrderItem"], line["ScheduleLine"]) == ("10", "1")
    [item] = narrow.entity["to_PurchaseOrderItem"]["results"]
    assert item.keys() == {"__metadata", "Material", "to_ScheduleLine"}
    assert "__deferred" in flat.entity["to_PurchaseOrderItem"]
    assert gone.refusal == (404, "/IWBEP/CM_MGW_RT/020")


def order(*materials: str, **fields: str) -> dict[str, Any]:
    return {
        "PurchaseOrderType": "NB",
        "Supplier": SUPPLIER,
        "PurchasingOrganization": "1010",
        "PurchasingGroup": "001",
        "DocumentCurrency": "EUR",
        "to_PurchaseOrderItem": {
            "results": [
                {
                    "PurchaseOrderItem": str(place * 10),
                    "Material": material,
                    "Plant": "1010",
                    "OrderQuantity": "5",
                    "to_ScheduleLine": {
                        "results": [{"ScheduleLine": "1", "ScheduleLineOrderQuantity": "5"}]
                    },
                }
                for place, material in enumerate(materials, start=1)
            ]
        },
        **fields,
    }


async def test_an_order_is_placed_whole_and_changed_item_by_item(erp: StandIn) -> None:
    item = f"{ORDERS}/A_PurchaseOrderItem(PurchaseOrder='4500000001',PurchaseOrderItem='10')"
    async with Client(erp) as client:
        placed = await client.send("POST", f"{ORDERS}/A_PurchaseOrder", order("SEAL", "OIL"))
        assert (placed.status, placed.entity["PurchaseOrder"]) == (201, "4500000001")
        read = await client.send("GET", item)
        blind = await client.send("PATCH", item, {"OrderQuantity": "7"})
        tag = read.entity["__metadata"]["etag"]
        changed = await client.send("PATCH", item, {"OrderQuantity": "7"}, If_Match=tag)
        stale = await client.send("DELETE", item, If_Match=tag)
        [line] = (await client.send("GET", f"{item}/to_ScheduleLine")).entity["results"]
        deleted = await client.send("DELETE", item, If_Match=changed.headers["Etag"])
        after = await client.send("GET", item)
        again = await client.send("PATCH", item, {"OrderQuantity": "8"}, If_Match="*")
    assert blind.refusal == (428, "ZSANDBOX/ETAG_MISSING")
    assert stale.refusal == (412, "ZSANDBOX/ETAG_STALE")
    assert (changed.status, line["ScheduleLineOrderQuantity"]) == (204, "7.000")
    assert (deleted.status, after.entity["PurchasingDocumentDeletionCode"]) == (204, "L")
    assert again.refusal == (400, "ZSANDBOX/ORDER_ITEM_DELETED")


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (order("SEAL", Supplier="1"), "SUPPLIER_UNKNOWN"),
        (order("SEAL", "BOLT"), "ORDER_MATERIAL_MISSING"),
        (order("SEAL", "HOSE"), "PRODUCT_NOT_IN_PLANT"),
        (order(), "ORDER_EMPTY"),
    ],
)
async def test_an_order_that_breaks_a_rule_leaves_nothing_behind(
    erp: StandIn, payload: dict[str, Any], code: str
) -> None:
    before = contents(erp)
    async with Client(erp) as client:
        placed = await client.send("POST", f"{ORDERS}/A_PurchaseOrder", payload)
    assert placed.refusal == (400, f"ZSANDBOX/{code}")
    assert contents(erp) == before


PARTNERS = "/sap/opu/odata/sap/API_BUSINESS_PARTNER"


async def test_a_partner_is_read_with_the_supplier_that_it_is(erp: StandIn) -> None:
    partners = f"{PARTNERS}/A_BusinessPartner"
    rows: dict[str, dict[str, str]] = {
        "A_BusinessPartner": {"BusinessPartner": "9", "Supplier": "7"},
        "A_Supplier": {"Supplier": "7"},
        "A_SupplierCompany": {"Supplier": "7", "CompanyCode": "1010"},
    }
    expand = "$expand=to_Supplier,to_Supplier/to_SupplierCompany"
    async with Client(erp) as client:
        for name, row in rows.items():
            await client.send("POST", f"/_sandbox/table/{name}", row)
        await client.send("POST", "/_sandbox/table/A_BusinessPartner", {"BusinessPartner": "8"})
        supplier = await client.send("GET", f"{partners}('9')?{expand}")
        customer = await client.send("GET", f"{partners}('8')?{expand}")
        view = {"Supplier": "7", "CompanyCode": "1020"}
        made = await client.send("POST", f"{PARTNERS}/A_SupplierCompany", view)
    held = supplier.entity["to_Supplier"]
    [company] = held["to_SupplierCompany"]["results"]
    assert (held["Supplier"], company["CompanyCode"]) == ("7", "1010")
    assert customer.entity["to_Supplier"] is None
    assert made.refusal == (400, "ZSANDBOX/VIEWS_READ_ONLY")


def partner(**fields: object) -> dict[str, object]:
    return {
        "BusinessPartner": "17300009",
        "BusinessPartnerCategory": "2",
        "BusinessPartnerGrouping": "BPEE",
        "OrganizationBPName1": "Southern Seals",
        "to_BusinessPartnerRole": {"results": [{"BusinessPartnerRole": "FLVN01"}]},
        "to_BusinessPartnerAddress": {"results": [{"CityName": "Ulm", "Country": "DE"}]},
        "to_Supplier": {"PostingIsBlocked": True},
        **fields,
    }


async def test_a_partner_becomes_a_supplier_that_is_bought_from_until_it_is_blocked(
    erp: StandIn,
) -> None:
    orders = f"{ORDERS}/A_PurchaseOrder"
    supplier = f"{PARTNERS}/A_Supplier('17300009')"
    async with Client(erp) as client:
        made = await client.send("POST", f"{PARTNERS}/A_BusinessPartner", partner())
        held = await client.send("GET", supplier)
        [use] = (await client.send("GET", f"{PARTNERS}/A_BuPaAddressUsage")).entity["results"]
        placed = await client.send("POST", orders, order("SEAL", Supplier="17300009"))
        blocked = await client.send(
            "PATCH", supplier, {"PurchasingIsBlocked": True}, If_Match=held.headers["Etag"]
        )
        again = await client.send("POST", orders, order("SEAL", Supplier="17300009"))
        twice = await client.send("POST", f"{PARTNERS}/A_BusinessPartner", partner())
    assert (made.status, made.entity["Supplier"]) == (201, "17300009")
    assert held.entity["PostingIsBlocked"] is True
    assert (use["AddressUsage"], use["AddressID"]) == ("XXDEFAULT", "20001")
    assert (placed.status, blocked.status) == (201, 204)
    assert again.refusal == (400, "ZSANDBOX/SUPPLIER_BLOCKED")
    assert twice.refusal == (400, "ZSANDBOX/KEY_EXISTS")


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (partner(BusinessPartnerGrouping="BP02"), "PARTNER_GROUPING"),
        (partner(BusinessPartnerCategory="9"), "PARTNER_CATEGORY"),
        (partner(OrganizationBPName1=""), "PARTNER_NAME"),
        (partner(to_BusinessPartnerRole=[{"BusinessPartnerRole": "FLCU01"}]), "PARTNER_ROLE"),
        (partner(to_BusinessPartnerAddress=[{"CityName": "Ulm"}]), "ADDRESS_COUNTRY"),
    ],
)
async def test_a_partner_that_breaks_a_rule_leaves_nothing_behind(
    erp: StandIn, payload: dict[str, Any], code: str
) -> None:
    before = contents(erp)
    async with Client(erp) as client:
        made = await client.send("POST", f"{PARTNERS}/A_BusinessPartner", payload)
    assert made.refusal == (400, f"ZSANDBOX/{code}")
    assert contents(erp) == before


CONTRACTS = "/sap/opu/odata/sap/API_PURCHASECONTRACT_PROCESS_SRV"
SOURCES = "/sap/opu/odata/sap/API_PURCHASING_SOURCE_SRV"


def contract(*materials: str, **fields: str) -> dict[str, Any]:
    return {
        "PurchaseContractType": "MK",
        "Supplier": SUPPLIER,
        "PurchasingOrganization": "1010",
        "PurchasingGroup": "001",
        "DocumentCurrency": "EUR",
        "ValidityStartDate": "/Date(1772323200000)/",
        "ValidityEndDate": "/Date(253402214400000)/",
        "to_PurchaseContractItem": {
            "results": [
                contract_item(str(place * 10), material)
                for place, material in enumerate(materials, start=1)
            ]
        },
        **fields,
    }


def contract_item(number: str, material: str, **fields: str) -> dict[str, str]:
    item = {"PurchaseContractItem": number, "Material": material, "TargetQuantity": "500"}
    return item | fields


async def send_batch(client: Client, *calls: tuple[str, object]) -> Answer:
    """Calls by their lines, as one change set; each takes whatever tag there is."""
    headers = "Content-Type: application/json\r\nIf-Match: *"
    writes = [
        f"{line} HTTP/1.1\r\n{headers}\r\n\r\n{msgspec.json.encode(body).decode()}"
        for line, body in calls
    ]
    kind = "multipart/mixed; boundary=all"
    return await client.send("POST", f"{CONTRACTS}/$batch", change_set(*writes), Content_Type=kind)


ITEM = "A_PurchaseContractItem(PurchaseContract='4600000001',PurchaseContractItem='10')"
ADDED = contract_item("20", "OIL", PurchaseContract="4600000001")


async def test_a_contract_is_made_whole_and_changed_in_batches_only(erp: StandIn) -> None:
    header = "A_PurchaseContract('4600000001')"
    async with Client(erp) as client:
        made = await client.send("POST", f"{CONTRACTS}/A_PurchaseContract", contract("SEAL"))
        refused = [
            await client.send(method, f"{CONTRACTS}/{path}", body, If_Match="*")
            for method, path, body in (
                ("PATCH", header, {"ValidityEndDate": "/Date(1775001600000)/"}),
                ("PATCH", ITEM, {"TargetQuantity": "7"}),
                ("POST", "A_PurchaseContractItem", ADDED),
                ("POST", f"{header}/to_PurchaseContractItem", contract_item("20", "OIL")),
                ("DELETE", ITEM, None),
            )
        ]
        batch = await send_batch(
            client,
            (f"PATCH {header}", {"ValidityEndDate": "/Date(1775001600000)/"}),
            (f"PATCH {ITEM}", {"TargetQuantity": "7"}),
            ("POST A_PurchaseContractItem", ADDED),
        )
        held = await client.send("GET", f"{CONTRACTS}/{header}?$expand=to_PurchaseContractItem")
    assert (made.status, made.entity["PurchaseContract"]) == (201, "4600000001")
    assert {answer.refusal for answer in refused} == {(405, "ZSANDBOX/METHOD")}
    assert (batch.status, batch.text.count("HTTP/1.1 204 No Content")) == (202, 2)
    assert batch.text.count("HTTP/1.1 201 Created") == 1
    assert held.entity["ValidityEndDate"] == "/Date(1775001600000)/"
    assert [
        (item["PurchaseContractItem"], item["TargetQuantity"])
        for item in held.entity["to_PurchaseContractItem"]["results"]
    ] == [("10", "7.000"), ("20", "500.000")]


@pytest.mark.parametrize(
    ("calls", "code"),
    [
        (((f"PATCH {ITEM}", {"TargetQuantity": "7"}),
          ("POST A_PurchaseContractItem", ADDED | {"Material": "BOLT"})),
         "CONTRACT_MATERIAL_MISSING"),
        (((f"PATCH {ITEM}", {"NetPrice": "7"}),), "PROPERTY_UNKNOWN"),
        (((f"DELETE {ITEM}", {}),), "METHOD"),
    ],
)  # fmt: skip
async def test_a_change_set_that_breaks_a_rule_leaves_nothing_behind(
    erp: StandIn, calls: tuple[tuple[str, object], ...], code: str
) -> None:
    async with Client(erp) as client:
        await client.send("POST", f"{CONTRACTS}/A_PurchaseContract", contract("SEAL"))
        before = contents(erp)
        batch = await send_batch(client, *calls)
    assert batch.status == 202
    assert f'"code":"ZSANDBOX/{code}"' in batch.text
    assert "HTTP/1.1 20" not in batch.text
    assert contents(erp) == before


async def test_a_batch_needs_a_token_and_its_form(erp: StandIn) -> None:
    async with Client(erp) as client:
        malformed = await client.send("POST", f"{CONTRACTS}/$batch", {})
        client.token = "stale"
        untold = await send_batch(client, (f"PATCH {ITEM}", {}))
    assert malformed.refusal == (400, "ZSANDBOX/BATCH")
    assert untold.refusal == (403, "CSRF token validation failed")


async def test_rows_of_a_source_list_are_made_changed_and_deleted(erp: StandIn) -> None:
    sources = f"{SOURCES}/A_PurchasingSource"
    row = {
        "Material": "SEAL",
        "Plant": "1010",
        "ValidityStartDate": "/Date(1772323200000)/",
        "ValidityEndDate": "/Date(253402214400000)/",
        "Supplier": SUPPLIER,
        "PurchasingOrganization": "1010",
    }
    path = f"{sources}(Material='SEAL',Plant='1010',SourceListRecord='1')"
    async with Client(erp) as client:
        made = await client.send("POST", sources, row)
        nobody = await client.send("POST", sources, row | {"Supplier": ""})
        fixed = await client.send("PATCH", path, {"SourceOfSupplyIsFixed": True}, If_Match="*")
        tag = made.headers["Etag"]
        changed = await client.send("PATCH", path, {"SourceOfSupplyIsBlocked": True}, If_Match=tag)
        stale = await client.send("DELETE", path, If_Match=tag)
        deleted = await client.send("DELETE", path, If_Match=changed.headers["Etag"])
        left = await client.send("GET", f"{sources}?$filter=Plant eq '1010' and Material eq 'SEAL'")
    assert (made.status, made.entity["SourceListRecord"]) == (201, "1")
    assert nobody.refusal == (400, "ZSANDBOX/PROPERTY_MISSING")
    assert fixed.refusal == (400, "ZSANDBOX/PROPERTY_READ_ONLY")
    assert stale.refusal == (412, "ZSANDBOX/ETAG_STALE")
    assert (changed.status, deleted.status) == (204, 204)
    assert left.entity["results"] == []
