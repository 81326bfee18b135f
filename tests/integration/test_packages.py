"""Packages: put once, read back as they were, dropped when nobody refers to them any more."""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from broker.packages import CHUNK_BYTES, package_file, pieces_of, put_package
from broker.store import messages as message_rows
from broker.store import packages as rows
from broker.store.messages import LogEntry
from broker.store.packages import PackageRow
from canonical.envelope import Envelope
from canonical.errors import InvalidMessage
from canonical.handler import Delivery
from canonical.package import PACKAGE_TYPE, PackageReference
from tests.integration.toy import Bench, bench_on

CONTENT = random.Random(7).randbytes(2 * CHUNK_BYTES + 3)
AT_ONCE = timedelta(0)
LONG = timedelta(days=1)


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    """A bench on a fresh database."""
    async with bench_on(database_url) as made:
        yield made


async def put(bench: Bench, content: bytes = CONTENT, *, limit: int = 2**28) -> PackageRow:
    return await put_package(
        bench.database,
        pieces_of(io.BytesIO(content)),
        name="big.pdx",
        content_type="application/zip",
        by="somebody",
        limit=limit,
    )


def reference(row: PackageRow, **other: object) -> PackageReference:
    stated = {"reference": row.reference, "bytes": row.bytes, "sha256": row.sha256.hex()} | other
    return PackageReference(**stated)  # type: ignore[arg-type]


async def refused(bench: Bench, wanted: PackageReference) -> str:
    with pytest.raises(InvalidMessage) as caught:
        async with package_file(bench.database, wanted):
            pass
    return caught.value.code


async def test_a_package_is_read_back_as_it_was_put(bench: Bench) -> None:
    row = await put(bench)
    assert (row.bytes, row.sha256) == (len(CONTENT), hashlib.sha256(CONTENT).digest())
    assert await bench.column("select octet_length(bytes) from package_chunk order by n") == [
        CHUNK_BYTES,
        CHUNK_BYTES,
        3,
    ]
    async with package_file(bench.database, reference(row)) as file:
        assert file.read() == CONTENT


async def test_the_same_content_put_twice_is_one_package(bench: Bench) -> None:
    first, again, other = await put(bench), await put(bench), await put(bench, b"other")
    assert first == again
    assert other.reference != first.reference
    assert await bench.count("package") == 2
    assert await bench.count("package_chunk") == 4


@pytest.mark.parametrize(
    ("content", "code"), [(b"", "package-empty"), (CONTENT, "package-too-large")]
)
async def test_what_is_empty_or_too_large_leaves_nothing(
    bench: Bench, content: bytes, code: str
) -> None:
    with pytest.raises(InvalidMessage) as caught:
        await put(bench, content, limit=len(CONTENT) - 1)
    assert caught.value.code == code
    assert await bench.count("package") == 0
    assert await bench.count("package_chunk") == 0


async def test_a_put_that_breaks_off_cannot_be_referred_to_and_expires(bench: Bench) -> None:
    async def breaks_off() -> AsyncIterator[bytes]:
        yield CONTENT
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await put_package(
            bench.database, breaks_off(), name="n", content_type="application/zip", by="somebody"
        )
    (number,) = await bench.column("select id from package")
    wanted = PackageReference(f"package/{number}", len(CONTENT), "0" * 64)
    assert await refused(bench, wanted) == "package-missing"
    async with bench.database.transaction() as tx:
        assert await rows.expire_packages(tx, unused_for=LONG, unfinished_for=AT_ONCE) == [number]
    assert await bench.count("package_chunk") == 0


async def test_a_reference_with_another_size_or_digest_is_refused(bench: Bench) -> None:
    row = await put(bench)
    assert await refused(bench, reference(row, bytes=row.bytes - 1)) == "package-other-content"
    assert await refused(bench, reference(row, sha256="0" * 64)) == "package-other-content"
    assert await refused(bench, reference(row, reference="package/99")) == "package-missing"


@pytest.mark.parametrize(
    "damage",
    [
        "delete from package_chunk where n = 1",
        "update package_chunk set bytes = 'x' || substr(bytes, 2) where n = 1",
    ],
)
async def test_content_that_changed_in_the_database_is_refused(bench: Bench, damage: str) -> None:
    row = await put(bench)
    await bench.execute(damage)
    assert await refused(bench, reference(row)) == "package-damaged"


async def test_a_package_stays_while_a_message_in_the_log_refers_to_it(bench: Bench) -> None:
    used, unused = await put(bench), await put(bench, b"other")
    entry = LogEntry(
        subscription="toy",
        envelope=Envelope(id="1", source="shop", type="toy.order", key="order/1"),
        digest=used.sha256,
        delivery=Delivery(
            "shop", "order", b"{}", PACKAGE_TYPE, attributes={"dataref": used.reference}
        ),
    )
    async with bench.database.transaction() as tx:
        await message_rows.admit(tx, [entry])
    async with bench.database.transaction() as tx:
        assert await rows.expire_packages(tx, unused_for=LONG, unfinished_for=LONG) == []
        assert await rows.messages_of(tx, used.id) == 1
        gone = await rows.expire_packages(tx, unused_for=AT_ONCE, unfinished_for=AT_ONCE)
        assert gone == [unused.id]
    await bench.execute("delete from message")
    async with bench.database.transaction() as tx:
        gone = await rows.expire_packages(tx, unused_for=AT_ONCE, unfinished_for=AT_ONCE)
        assert gone == [used.id]
