"""How many steps of ledgers become true a second, where targets answer at once."""

from __future__ import annotations

import asyncio
import sys
from statistics import median

import msgspec

from benchmarks.changes import Letter
from benchmarks.place import BEGIN_LOOK_S, KIND, SOURCE, START_S, Invalid, Place
from benchmarks.steps import CONTRACT, STEPS, SYSTEM
from ops.stack.processes import free_port

RELEASES, QUICK_RELEASES = 1_500, 150
ROUNDS, QUICK_ROUNDS = 3, 1

_CONFIGURATION = """\
listen_port = 0

[settings]
database_url = "{database_url}"
amqp_url = "{amqp_url}"

[[settings.sources]]
name = "{source}"
kinds = ["{kind}"]
contracts = ["{contract}"]

[[settings.systems]]
name = "{system}"
driver = "bench"
base_url = "http://127.0.0.1:{port}"
auth = "oauth2"
user = "bench"
secret = "env:BENCH_SECRET"
token_path = "/token"
concurrency = 32

[settings.dispatch]
critical = 8
standard = 32
enrichment = 2

[rules]
plants = []
distribution = []
routes = []
central_purchasing_org = "1000"
"""


async def ledgers(place: Place, *, quick: bool) -> dict[str, float]:
    """Steps a second, from the first release until the last step is done."""
    number = QUICK_RELEASES if quick else RELEASES
    rates: list[float] = []
    for n in range(QUICK_ROUNDS if quick else ROUNDS):
        rates.append(await _done(place, number, 1 + n))
        print(f"{rates[-1]:,.0f} steps/s", file=sys.stderr)
    return {
        "steps": number * STEPS,
        "steps_per_second": round(median(rates)),
        "lowest": round(min(rates)),
        "highest": round(max(rates)),
    }


async def _done(place: Place, number: int, seed: int) -> float:
    database, port = place.fresh_database(), free_port()
    await place.fill([_letter(seed, n) for n in range(number)])
    config = place.scratch("ledgers.toml")
    config.write_text(
        _CONFIGURATION.format(
            database_url=database,
            amqp_url=place.servers.amqp_url,
            source=SOURCE,
            kind=KIND,
            contract=CONTRACT,
            system=SYSTEM,
            port=port,
        )
    )
    target = (sys.executable, "-m", "benchmarks.steps", "target", str(port))
    service = (sys.executable, "-m", "benchmarks.steps", str(config))
    environment = {"PYTHONOPTIMIZE": "1", "BENCH_SECRET": "bench"}
    done = "select count(*) from step where state = 'done'"

    async def has_begun() -> bool:
        return await place.counted(database, "select count(*) from step") > 0

    async def is_done() -> bool:
        return await place.counted(database, done) == number * STEPS

    async def is_listening() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return True

    async with place.process("target", target):
        await place.until(is_listening, "the target listens", START_S)
        async with place.process("layshaft", service, environment):
            began = await place.until(has_begun, "the first plan is there", look_s=BEGIN_LOOK_S)
            ended = await place.until(is_done, "all steps are done")
    complete = "select count(*) from ledger where state = 'complete'"
    if (found := await place.counted(database, complete)) != number:
        raise Invalid(f"{found} ledgers are complete instead of {number}")
    await place.drop(database)
    return number * STEPS / (ended - began)


def _letter(seed: int, n: int) -> Letter:
    name = f"{seed}-{n:06}"
    body = msgspec.json.encode({"id": name, "item": f"GB-{seed}-{n:06}"})
    return Letter(id=name, key=f"change/{name}", body=body, type=CONTRACT)
