"""A change with a BOM of very many lines, from a package to the steps in its ledger.

The service runs as a process of its own, so that its peak of memory is its own. Every line names
a part of its own: the most steps that so many lines can ask for.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryFile
from time import monotonic

import aio_pika
import aiohttp
import pytest

from broker.packages import pieces_of, put_package
from broker.topology import inbound_exchange
from canonical.codec import encode
from canonical.package import PACKAGE_TYPE, PackageReference
from tests.fixtures.large_package import CHANGE, TOP, write_package
from tests.integration.toy import DEADLINE_S, Bench, bench_on, until

ROOT = Path(__file__).parents[2]
MOST_MIB = 1024
RULES = """
[rules]
central_purchasing_org = "1000"
[rules.guards]
steps = "off"
[[rules.plants]]
code = "1010"
name = "Regensburg"
zone = "Europe/Berlin"
sourcing = "central"
purchasing_org = "1000"
purchasing_group = "001"
[[rules.distribution]]
family = "Gearboxes"
plants = ["1010"]
[[rules.routes]]
object_kind = "*"
plant = "*"
system = "erp"
from_day = 2020-01-01
"""


@asynccontextmanager
async def service(folder: Path, database_url: str, amqp_url: str) -> AsyncIterator[tuple[int, str]]:
    """A running service with one source; its process id and its address."""
    path = folder / "layshaft.toml"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    path.write_text(
        f"""
        listen_port = {port}
        [settings]
        database_url = "{database_url}"
        amqp_url = "{amqp_url}"
        systems = []
        [[settings.sources]]
        name = "plm"
        kinds = ["product-definition"]
        contracts = ["pdx.package"]
        {RULES}"""
    )
    log = (folder / "service.log").open("wb")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ops", "run", "--config", str(path)),
        cwd=ROOT,
        stdout=log,
        stderr=log,
    )
    try:
        yield process.pid, f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(40):
            await process.wait()
        log.close()


async def ask(address: str, found: list[float], answered: asyncio.Event) -> None:
    """How long the service takes to say that it lives, again and again."""
    async with aiohttp.ClientSession() as session:
        while True:
            started = monotonic()
            try:
                async with session.get(f"{address}/livez") as response:
                    await response.read()
                found.append(monotonic() - started)
                answered.set()
            except aiohttp.ClientError:
                if answered.is_set():
                    raise
            await asyncio.sleep(0.02)


async def steps(bench: Bench) -> dict[tuple[str, str], int]:
    """Steps that are planned now, by what they do and where they stand."""
    rows = await bench.rows(
        """
        select verb, state, count(*) as n from step
        where state not in ('cancelled', 'superseded')
          and not (verb = 'await-fact' and state = 'done')
        group by verb, state
        """
    )
    return {(r["verb"], r["state"]): r["n"] for r in rows}


async def send(bench: Bench, amqp_url: str, *, lines: int) -> int:
    """The package is put and its reference sent; its size."""
    with TemporaryFile() as file:
        write_package(file, lines=lines, components=lines)
        file.seek(0)
        row = await put_package(
            bench.database,
            pieces_of(file),
            name="large.xml",
            content_type="application/xml",
            by="somebody",
        )
    body = encode(PackageReference(row.reference, row.bytes, row.sha256.hex()))
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel(on_return_raises=True)
        exchange = await channel.get_exchange(inbound_exchange("plm"), ensure=False)
        message = aio_pika.Message(body, content_type=PACKAGE_TYPE)
        await exchange.publish(message, "product-definition", mandatory=True, timeout=10)
    return row.bytes


async def is_settled(bench: Bench, expected: dict[tuple[str, str], int]) -> bool:
    if await bench.count("ledger") == 0 or await bench.count("pending") > 0:
        return False
    return await steps(bench) == expected


def peak_mib(pid: int) -> int:
    """The most memory the process had, MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) // 1024
    raise LookupError("VmHWM")


@pytest.mark.parametrize(
    ("lines", "within_s"),
    [
        pytest.param(500, 200.0, id="500", marks=pytest.mark.timeout(300)),
        pytest.param(
            50_000, 2400.0, id="50000", marks=[pytest.mark.full, pytest.mark.timeout(2700)]
        ),
    ],
)
async def test_a_large_bom_goes_through_to_its_steps(
    lines: int,
    within_s: float,
    database_url: str,
    amqp_url: str,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    # Of each part: its master and its plant view in the ERP, the catalogue and the question for
    # its contracts in procurement, the wait for the answer. Of the assembly: master, view, BOM.
    expected = {
        ("put-item", "ready"): lines + 1,
        ("extend-to-plant", "waiting"): lines + 1,
        ("put-bom", "waiting"): 1,
        ("publish-item", "ready"): lines,
        ("read-coverage", "ready"): lines,
        ("await-fact", "waiting"): lines,
        ("announce", "waiting"): 2,
    }
    answers: list[float] = []
    answered = asyncio.Event()
    async with (
        bench_on(database_url, statement_s=60) as bench,
        service(tmp_path, database_url, amqp_url) as (pid, address),
    ):
        asking = asyncio.create_task(ask(address, answers, answered))
        async with asyncio.timeout(DEADLINE_S):
            await answered.wait()
        quiet = len(answers)
        started = monotonic()
        size = await send(bench, amqp_url, lines=lines)
        try:
            await until(lambda: is_settled(bench, expected), "planned", within_s=within_s)
        except AssertionError:
            print(await steps(bench), await bench.cases())
            print((tmp_path / "service.log").read_text()[-5000:])
            raise
        seconds = monotonic() - started
        assert not asking.done(), "the service did not answer any more"
        asking.cancel()
        assert await bench.cases() == []
        assert await bench.column("select key from ledger") == [f"engineering-change/{CHANGE}"]
        (bom,) = await bench.rows(
            "select octet_length(operation) as n, cardinality(depends_on) as after from step"
            " where verb = 'put-bom'"
        )
        assert bom["after"] == lines + 1
        stored = await bench.column("select count(*) from document where key = $1", f"bom/{TOP}")
        assert stored == [1]
        peak = peak_mib(pid)
        for name, figure in {
            "lines": lines,
            "package_mb": round(size / 1e6, 1),
            "steps": sum(expected.values()),
            "seconds": round(seconds, 1),
            "peak_mib": peak,
            "slowest_answer_ms": round(max(answers[quiet:]) * 1000),
        }.items():
            record_property(name, figure)
        assert peak < MOST_MIB
