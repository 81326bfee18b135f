"""The procurement stand-in as its clients meet it: a process with tokens, a limit and no patience
for fields it does not know."""

import asyncio
import os
import signal
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Self

import aiohttp
import msgspec
import pytest

from ops.sandbox.process import StandIn, running
from tests.fixtures.stand_ins import serving

LINE = {
    "item-number": "SEAL",
    "price": "25.00",
    "price-unit-quantity": "1000",
    "uom": {"code": "EA"},
    "currency": {"code": "EUR"},
    "start-date": "2025-01-01",
    "end-date": "2029-12-31",
}
SEED = {
    "suppliers": [
        {
            "number": "17300001",
            "name": "Northern Seals",
            "custom-fields": {"qualification-status": "Qualified", "qualified-until": "2029-12-31"},
        },
        {"number": "17300002", "name": "Second Source"},
    ],
    "contracts": [
        {
            "number": "C-1",
            "name": "Seals",
            "supplier": {"number": "17300001"},
            "start-date": "2025-01-01",
            "end-date": "2029-12-31",
            "lines": [LINE],
        },
        {
            "number": "C-2",
            "name": "Seals, not signed",
            "supplier": {"number": "17300001"},
            "start-date": "2025-01-01",
            "end-date": "2029-12-31",
            "status": "draft",
        },
    ],
}
ITEM: dict[str, Any] = {
    "item-number": "SEAL",
    "description": "Shaft seal",
    "uom": {"code": "EA"},
    "custom-fields": {
        "revision": "A",
        "compliance": ["RoHS"],
        "approved-manufacturers": [
            {"manufacturer": "Sealco", "part-number": "S-9", "status": "approved"}
        ],
    },
}
ORDER_LINE: dict[str, Any] = {
    "line-num": "10",
    "type": "OrderQuantityLine",
    "description": "Repair",
    "quantity": "5",
    "uom": {"code": "EA"},
    "price": "0.025",
    "currency": {"code": "EUR"},
}
ORDER: dict[str, Any] = {
    "type": "ExternalOrderHeader",
    "po-number": "4500000028",
    "supplier": {"number": "17300001"},
    "currency": {"code": "EUR"},
    "order-lines": [ORDER_LINE],
}
REVIEW: dict[str, Any] = {
    "external-ref": "layshaft:ECO-7:SEAL",
    "supplier": {"number": "17300002"},
    "item": {"item-number": "SEAL"},
    "change": "ECO-7",
    "reason": "not qualified",
}


class Client:
    """Holds a token for as long as it is good."""

    def __init__(self, stand_in: StandIn) -> None:
        self.url = stand_in.url
        self.http = aiohttp.ClientSession()
        self.headers = {"Accept": "application/json"}

    async def __aenter__(self) -> Self:
        await self.log_in()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.close()

    async def log_in(self) -> None:
        form = {"grant_type": "client_credentials", "client_id": "demo", "client_secret": "demo"}
        async with self.http.post(f"{self.url}/oauth2/token", data=form) as response:
            self.headers["Authorization"] = f"Bearer {(await response.json())['access_token']}"

    async def send(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> tuple[int, Any]:
        """Status and document of the answer."""
        sent = self.headers | headers
        async with self.http.request(method, self.url + path, json=body, headers=sent) as response:
            text = await response.text()
            return response.status, msgspec.json.decode(text) if text else None


def undated(document: Any) -> Any:
    """An object or a list without what every object has of when it came to be and changed."""
    if isinstance(document, list):
        return [undated(row) for row in document]
    left_out = ("created-at", "updated-at", "exported")
    return {name: value for name, value in document.items() if name not in left_out}


@pytest.fixture
async def suite(tmp_path: Path) -> AsyncIterator[StandIn]:
    async with serving("procurement", tmp_path / "suite", SEED) as stand_in:
        yield stand_in


def contents(stand_in: StandIn) -> dict[str, list[tuple[str, int, str]]]:
    """Every row of the business table, read from its file as anyone can."""
    with closing(sqlite3.connect(stand_in.folder / "business.db")) as database:
        names = [
            n for (n,) in database.execute("select name from sqlite_master where type='table'")
        ]
        return {n: database.execute(f'select * from "{n}"').fetchall() for n in names}


async def test_a_supplier_is_found_by_number_with_its_qualification(suite: StandIn) -> None:
    async with Client(suite) as client:
        status, found = await client.send("GET", "/api/suppliers?number=17300001")
        nobody = await client.send("GET", "/api/suppliers?number=1")
    assert (status, undated(found)) == (
        200,
        [
            {
                "id": 1,
                "number": "17300001",
                "name": "Northern Seals",
                "status": "active",
                "custom-fields": {
                    "qualification-status": "Qualified",
                    "qualified-until": "2029-12-31",
                },
            }
        ],
    )
    assert nobody == (200, [])


async def test_only_published_contracts_of_the_supplier_are_listed(suite: StandIn) -> None:
    async with Client(suite) as client:
        path = "/api/contracts?supplier[number]={}&status=published"
        _, first = await client.send("GET", path.format("17300001"))
        _, second = await client.send("GET", path.format("17300002"))
    assert [(c["number"], c["supplier"]["id"], c["lines"]) for c in first] == [("C-1", 1, [LINE])]
    assert second == []


async def test_a_list_comes_in_pages_of_fifty_by_id(suite: StandIn) -> None:
    async with Client(suite) as client:
        for number in range(3, 121):
            row = {"number": f"1740{number:04}", "name": f"Source {number}", "status": "active"}
            async with client.http.post(f"{suite.url}/_sandbox/table/suppliers", json=row) as made:
                assert made.status < 300

        async def ids(query: str) -> list[int]:
            status, rows = await client.send("GET", f"/api/suppliers?{query}")
            assert status == 200
            return [row["id"] for row in rows]

        assert await ids("") == list(range(1, 51))
        assert await ids("limit=200&order_by=id&dir=asc&offset=49") == list(range(50, 100))
        assert await ids("offset=98") == list(range(99, 121))
        assert await ids("offset=120") == []
        assert await ids("dir=desc&limit=2") == [120, 119]
        dates = ("updated-at%5Bgt%5D=soon", "fields=id", "exported=perhaps")
        for query in ("offset=x", "order_by=name", "dir=up", "page=2", *dates):
            status, _ = await client.send("GET", f"/api/suppliers?{query}")
            assert status == 400


async def test_a_qualification_changed_by_a_buyer_is_read_back(suite: StandIn) -> None:
    fields = {"qualification-status": "Qualified", "qualified-until": "2028-06-30"}
    async with Client(suite) as client:
        changed, _ = await client.send("PUT", "/api/suppliers/2", {"custom-fields": fields})
        _, supplier = await client.send("GET", "/api/suppliers/2")
    assert changed == 200
    assert supplier["custom-fields"] == fields
    assert supplier["name"] == "Second Source"


async def test_an_item_is_created_once_and_changed_where_the_change_says_so(
    suite: StandIn,
) -> None:
    change = {"custom-fields": {"revision": "B"}}
    async with Client(suite) as client:
        created, item = await client.send("POST", "/api/items", ITEM)
        again = await client.send("POST", "/api/items", ITEM)
        await client.send("PUT", f"/api/items/{item['id']}", change)
        _, found = await client.send("GET", "/api/items?item-number=SEAL")
    assert created == 201
    assert again == (422, {"errors": {"item-number": ["has already been taken"]}})
    assert [i["custom-fields"] for i in found] == [ITEM["custom-fields"] | {"revision": "B"}]
    assert found[0]["description"] == "Shaft seal"


async def test_a_review_is_asked_for_once_per_external_reference(suite: StandIn) -> None:
    async with Client(suite) as client:
        created, review = await client.send("POST", "/api/supplier_reviews", REVIEW)
        again = await client.send("POST", "/api/supplier_reviews", REVIEW)
        query = f"external-ref={REVIEW['external-ref']}"
        _, found = await client.send("GET", f"/api/supplier_reviews?{query}")
        await client.send("PUT", f"/api/supplier_reviews/{review['id']}", {"status": "closed"})
        _, closed = await client.send("GET", f"/api/supplier_reviews/{review['id']}")
    assert created == 201
    assert again == (422, {"errors": {"external-ref": ["has already been taken"]}})
    assert undated(found) == [REVIEW | {"id": review["id"], "status": "open"}]
    assert closed["status"] == "closed"


async def test_a_supplier_is_created_once_by_number_and_name(suite: StandIn) -> None:
    supplier = {"number": "17300003", "name": "Third", "primary-address": {"city": "Kiel"}}
    taken = (422, {"errors": {"name": ["has already been taken"]}})
    async with Client(suite) as client:
        created, row = await client.send("POST", "/api/suppliers", supplier)
        again = await client.send("POST", "/api/suppliers", supplier | {"name": "Fourth"})
        other = await client.send("POST", "/api/suppliers", supplier | {"number": "17300004"})
        renamed = await client.send("PUT", "/api/suppliers/3", {"name": "Second Source"})
        await client.send("PUT", "/api/suppliers/3", {"payment-term": {"code": "NT30"}})
        _, found = await client.send("GET", "/api/suppliers?number=17300003")
    assert (created, row["id"]) == (201, 3)
    assert again == (422, {"errors": {"number": ["has already been taken"]}})
    assert other == renamed == taken
    assert undated(found) == [
        supplier
        | {
            "id": 3,
            "status": "active",
            "payment-term": {"code": "NT30"},
            "custom-fields": {},
        }
    ]


async def test_an_order_is_created_once_and_its_lines_change_by_their_ids(suite: StandIn) -> None:
    second = ORDER_LINE | {"line-num": "20"}
    change = {"order-lines": [{"id": 1, "quantity": "7"}, {"id": 2, "_delete": True}, second]}
    async with Client(suite) as client:
        body = ORDER | {"order-lines": [ORDER_LINE, second]}
        created, order = await client.send("POST", "/api/purchase_orders", body)
        again = await client.send("POST", "/api/purchase_orders", body)
        changed, _ = await client.send("PUT", "/api/purchase_orders/1", change)
        _, found = await client.send("GET", "/api/purchase_orders?po-number=4500000028")
    assert (created, changed) == (201, 200)
    assert undated(order) == body | {
        "id": 1,
        "status": "issued",
        "order-lines": [{"id": 1} | ORDER_LINE, {"id": 2} | second],
    }
    assert again == (422, {"errors": {"po-number": ["has already been taken"]}})
    assert [each["order-lines"] for each in found] == [
        [{"id": 1} | ORDER_LINE | {"quantity": "7"}, {"id": 2} | second]
    ]


async def test_a_cancelled_order_is_not_changed_any_more(suite: StandIn) -> None:
    async with Client(suite) as client:
        await client.send("POST", "/api/purchase_orders", ORDER)
        cancelled, order = await client.send("PUT", "/api/purchase_orders/1/cancel")
        refused, document = await client.send("PUT", "/api/purchase_orders/1", {})
    assert (cancelled, order["status"]) == (200, "cancelled")
    assert (refused, list(document["errors"])) == (422, ["status"])


async def test_no_order_goes_to_a_supplier_that_is_not_active(suite: StandIn) -> None:
    async with Client(suite) as client:
        await client.send("PUT", "/api/suppliers/1", {"status": "inactive"})
        refused = await client.send("POST", "/api/purchase_orders", ORDER)
    assert refused == (422, {"errors": {"supplier": ["17300001 is not active"]}})


async def test_a_list_of_what_changed_tells_which_objects_and_when(suite: StandIn) -> None:
    since = "updated-at%5Bgt%5D=2026-03-02T08:00:00%2B01:00"
    keys = "fields=%5B%22id%22,%22updated-at%22%5D&exported=false"
    async with Client(suite) as client:
        for number, at in ((7, "2026-03-02T07:00:00+00:00"), (8, "2026-03-02T07:00:01+00:00")):
            row = {"id": number, "number": f"S-{number}", "name": f"S {number}", "updated-at": at}
            await client.send("POST", "/_sandbox/table/suppliers", row)
        _, changed = await client.send("GET", f"/api/suppliers?{since}&{keys}")
        _, exactly = await client.send(
            "GET", f"/api/suppliers?{since.replace('gt', 'gt_or_eq')}&{keys}"
        )
        _, before = await client.send(
            "GET", "/api/suppliers?updated-at%5Blt%5D=2026-03-02T07:00:01"
        )
        exported = await client.send("GET", "/api/suppliers?exported=true")
    assert {row["id"] for row in changed} == {1, 2, 8}
    assert {tuple(row) for row in changed} == {("id", "updated-at")}
    assert {row["id"] for row in exactly} == {1, 2, 7, 8}
    assert [row["id"] for row in before] == [7]
    assert exported == (200, [])


async def test_a_change_moves_the_time_of_its_object_and_saving_the_same_does_not(
    suite: StandIn,
) -> None:
    old = {"id": 7, "number": "S-7", "name": "Seven", "updated-at": "2026-03-02T07:00:00+00:00"}
    async with Client(suite) as client:
        await client.send("POST", "/_sandbox/table/suppliers", old)
        _, same = await client.send("PUT", "/api/suppliers/7", {"name": "Seven"})
        _, changed = await client.send("PUT", "/api/suppliers/7", {"name": "Seven & Co"})
        _, shown = await client.send("GET", "/api/suppliers/7")
    assert same["updated-at"] == old["updated-at"]
    assert changed["updated-at"] > old["updated-at"]
    assert shown == changed


async def test_an_object_that_is_gone_is_told_by_an_error_document(suite: StandIn) -> None:
    async with Client(suite) as client:
        await client.send("DELETE", "/_sandbox/table/contracts")
        status, document = await client.send("GET", "/api/contracts/1")
    assert (status, list(document)) == (404, ["errors"])


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    """One stand-in for tests that leave it as they found it."""
    with running("procurement", tmp_path_factory.mktemp("shared"), SEED) as stand_in:
        yield stand_in


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "field"),
    [
        ("POST", "/api/items", ITEM | {"colour": "red"}, 400, "base"),
        ("POST", "/api/items", ITEM | {"description": 7}, 400, "base"),
        ("POST", "/api/items", ITEM | {"description": ""}, 422, "description"),
        ("POST", "/api/items", {"item-number": "X", "description": "x"}, 422, "uom"),
        ("POST", "/api/items", ITEM | {"uom": {"code": "PCE"}}, 422, "uom"),
        ("PUT", "/api/suppliers/9", {"name": "Nobody"}, 404, "base"),
        ("PUT", "/api/suppliers/1", {"number": "17300009"}, 400, "base"),
        (
            "PUT",
            "/api/suppliers/1",
            {"custom-fields": {"qualification-status": "Great"}},
            400,
            "base",
        ),
        ("POST", "/api/suppliers", {"number": "1", "name": ""}, 422, "name"),
        ("POST", "/api/suppliers", {"number": "1", "name": "New", "vat": "1"}, 400, "base"),
        ("POST", "/api/contracts", {"number": "C-9"}, 404, "base"),
        ("POST", "/api/purchase_orders", ORDER | {"type": "OrderHeader"}, 400, "base"),
        ("POST", "/api/purchase_orders", ORDER | {"po-number": "4" * 21}, 422, "po-number"),
        ("POST", "/api/purchase_orders", ORDER | {"supplier": {"number": "1"}}, 422, "supplier"),
        ("POST", "/api/purchase_orders", ORDER | {"order-lines": []}, 422, "order-lines"),
        (
            "POST",
            "/api/purchase_orders",
            ORDER | {"order-lines": [ORDER_LINE, ORDER_LINE]},
            422,
            "line-num",
        ),
        (
            "POST",
            "/api/purchase_orders",
            ORDER | {"order-lines": [ORDER_LINE | {"item": {"item-number": "X"}}]},
            422,
            "item",
        ),
        (
            "POST",
            "/api/purchase_orders",
            ORDER | {"order-lines": [ORDER_LINE | {"uom": {"code": "PCE"}}]},
            422,
            "uom",
        ),
        (
            "POST",
            "/api/purchase_orders",
            ORDER | {"order-lines": [ORDER_LINE | {"price": "0.0000001"}]},
            422,
            "price",
        ),
        ("PUT", "/api/purchase_orders/9/cancel", None, 404, "base"),
        ("POST", "/api/supplier_reviews", REVIEW | {"supplier": {"number": "1"}}, 422, "supplier"),
        ("POST", "/api/supplier_reviews", REVIEW | {"external-ref": ""}, 422, "external-ref"),
        ("GET", "/api/suppliers?name=Northern", None, 400, "name"),
        ("GET", "/api/requisitions", None, 404, "base"),
    ],
)
async def test_what_the_suite_does_not_know_is_refused(
    shared: StandIn, method: str, path: str, body: object, status: int, field: str
) -> None:
    before = contents(shared)
    async with Client(shared) as client:
        answered, document = await client.send(method, path, body)
    assert (answered, list(document["errors"])) == (status, [field])
    assert contents(shared) == before


async def test_a_wrong_secret_gets_no_token(shared: StandIn) -> None:
    form = {"grant_type": "client_credentials", "client_id": "demo", "client_secret": "guess"}
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{shared.url}/oauth2/token", data=form) as response,
    ):
        assert response.status == 401
        assert await response.json() == {"error": "invalid_client"}


async def test_an_expired_token_is_refused_until_a_new_one_is_fetched(suite: StandIn) -> None:
    async with Client(suite) as client:
        await client.send("DELETE", "/_sandbox/tokens")
        expired, _ = await client.send("GET", "/api/items")
        await client.log_in()
        renewed, _ = await client.send("GET", "/api/items")
    assert (expired, renewed) == (401, 200)


async def test_a_secret_is_not_written_into_the_journal(suite: StandIn) -> None:
    async with Client(suite) as client:
        await client.send("GET", "/api/items")
    journal = (suite.folder / "journal.jsonl").read_text(encoding="utf-8")
    assert "/oauth2/token" in journal
    assert "client_secret" not in journal
    assert "Bearer" not in journal


async def test_a_client_that_does_not_ask_for_json_is_not_served(shared: StandIn) -> None:
    async with Client(shared) as client:
        status, _ = await client.send("GET", "/api/items", Accept="*/*")
    assert status == 406


async def test_requests_over_the_limit_are_told_when_to_come_back(tmp_path: Path) -> None:
    options = ("--rate", "0.1", "--burst", "3")
    with running("procurement", tmp_path, SEED, options) as stand_in:
        async with Client(stand_in) as client:
            answers = [
                await client.http.get(f"{stand_in.url}/api/items", headers=client.headers)
                for _ in range(5)
            ]
    assert Counter(answer.status for answer in answers) == {200: 3, 429: 2}
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 10


async def test_a_restart_keeps_what_was_written_and_does_not_seed_again(tmp_path: Path) -> None:
    with running("procurement", tmp_path, SEED) as stand_in:
        async with Client(stand_in) as client:
            await client.send("PUT", "/api/suppliers/1", {"status": "inactive"})
            await client.send("POST", "/api/items", ITEM)
    with running("procurement", tmp_path, SEED) as stand_in:
        async with Client(stand_in) as client:
            _, suppliers = await client.send("GET", "/api/suppliers")
            _, item = await client.send("POST", "/api/items", ITEM | {"item-number": "OIL"})
            _, counts = await client.send("GET", "/_sandbox/counts")
    assert [s["status"] for s in suppliers] == ["inactive", "active"]
    assert item["id"] == 2
    assert counts["items"]["rows"] == 2


async def test_an_item_applied_behind_a_failure_is_found_and_not_created_twice(
    suite: StandIn,
) -> None:
    rule = {"action": "apply_then_500", "method": "POST", "path": "^/api/items$"}
    async with Client(suite) as client:
        await client.send("POST", "/_sandbox/faults", [rule])
        failed, _ = await client.send("POST", "/api/items", ITEM)
        again, _ = await client.send("POST", "/api/items", ITEM)
        _, found = await client.send("GET", "/api/items?item-number=SEAL")
        _, journal = await client.send("GET", "/_sandbox/journal?entries=no")
    assert (failed, again, len(found)) == (500, 422, 1)
    assert journal["totals"]["writes_received"] == 2
    assert journal["totals"]["writes_applied"] == 1


async def test_a_killed_stand_in_comes_back_with_every_change_and_its_journal(
    tmp_path: Path,
) -> None:
    with running("procurement", tmp_path, SEED) as stand_in:
        async with Client(stand_in) as client:
            await client.send("POST", "/api/items", ITEM)
            os.kill(stand_in.pid, signal.SIGKILL)
    with running("procurement", tmp_path, SEED) as stand_in:
        async with Client(stand_in) as client:
            _, found = await client.send("GET", "/api/items?item-number=SEAL")
            _, journal = await client.send("GET", "/_sandbox/journal?kind=applied")
    assert [item["description"] for item in found] == ["Shaft seal"]
    assert [(e["table"], e["operation"]) for e in journal["entries"]] == [("items", "create")]


async def test_a_held_request_does_not_delay_the_stop(tmp_path: Path) -> None:
    # `running` gives up with an error if the process does not end within its limit.
    with running("procurement", tmp_path, SEED) as stand_in:
        async with Client(stand_in) as client:
            rule = {"action": "apply_then_hang", "method": "POST", "path": "/api/items"}
            await client.send("POST", "/_sandbox/faults", [rule])
            held = asyncio.create_task(client.send("POST", "/api/items", ITEM))
            async with asyncio.timeout(5):
                while not (await client.send("GET", "/_sandbox/table/items"))[1]:
                    assert not held.done()
            os.kill(stand_in.pid, signal.SIGTERM)
            with pytest.raises(aiohttp.ClientConnectionError):
                await held
