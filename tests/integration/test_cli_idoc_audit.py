"""`layshaft idoc audit`: whoever sent IDocs is told what became of them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from broker.failpoints import FailPoints
from broker.intake import Arrival
from broker.metrics import Metrics
from broker.pipeline import Pipeline
from broker.policy import RetryPolicy
from broker.store import Database, Position
from broker.store.messages import delivery_of
from broker.store.whereabouts import Sought, whereabouts
from broker.unit import SqlStorage
from canonical.handler import Delivery
from handlers import CATALOGUE
from handlers.systems.idoc.status import IDocStatus
from ops.cli.tree import run
from ops.configuration import load
from ops.sources import recogniser
from tests.corpus import CORPUS
from tests.integration.gearbox_change import database_at
from tests.integration.people import token_at
from tests.unit.handlers.idoc_out import idocs, read_back

Command = Callable[..., tuple[int, str, str]]

ROOT = Path(__file__).parents[2]
DEADLINE_S = 40.0


def sample(name: str, **replaced: str) -> str:
    """A file of the corpus with some fields' content replaced, wherever they stand."""
    text = (CORPUS / "idoc" / f"{name}.made.xml").read_text()
    for field, content in replaced.items():
        old = text.partition(f"<{field}>")[2].partition(f"</{field}>")[0]
        assert f"<{field}>{old}</{field}>" in text
        text = text.replace(f"<{field}>{old}</{field}>", f"<{field}>{content}</{field}>")
    return text


BOM, PRICES, SUPPLIER = sample("bommat"), sample("cond_a"), sample("cremas")
# Refused when it is decided, and one that already cannot be read.
BROKEN = sample("bommat", DOCNUM="0000000000417103", MATNR="RING-9", BMEIN="ZZ9")
OF_NOTHING = sample("bommat", DOCNUM="0000000000417104", MATNR="")
TEST = PRICES.replace("</EDI_DC40>", "<TEST>X</TEST></EDI_DC40>")
ANSWER = sample("aleaud")
SINCE = ("--since", "2000-01-01")


@pytest.fixture
def config(tmp_path: Path, database_url: str, amqp_url: str) -> Path:
    """A configuration with one source, which sends IDocs."""
    path = tmp_path / "layshaft.toml"
    path.write_text(
        f"""
        listen_port = 0
        [settings]
        database_url = "{database_url}"
        amqp_url = "{amqp_url}"
        systems = []
        [[settings.sources]]
        name = "sap"
        kinds = ["idoc"]
        contracts = ["idoc.document"]
        [rules]
        central_purchasing_org = "1000"
        plants = []
        distribution = []
        routes = []
        """
    )
    return path


@pytest.fixture
def layshaft(
    config: Path,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    """The command of an operator; (exit code, stdout, stderr)."""
    monkeypatch.setenv("LAYSHAFT_TOKEN", token_at(database_url, "Mia", "operator"))
    monkeypatch.chdir(tmp_path)
    for name in ("LAYSHAFT_DATABASE_URL", "LAYSHAFT_AMQP_URL", "LAYSHAFT_STATE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LAYSHAFT_CONFIG", str(config))

    def command(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()  # log lines of the pipeline
        exit_code = run(arguments)
        said = capsys.readouterr()
        return exit_code, said.out, said.err

    return command


def told(body: bytes) -> dict[str, IDocStatus]:
    """What the file tells, by number of the IDoc."""
    return {one.number: one for report in read_back(body) for one in report.statuses}


def audited(layshaft: Command, *arguments: str) -> Mapping[str, IDocStatus]:
    """What a new audit of all that came tells."""
    exit_code, out, err = layshaft(
        "idoc", "audit", "sap", *SINCE, "--out", "out.xml", "--force", "-o", "json", *arguments
    )
    assert (exit_code, err) == (0, ""), out
    assert msgspec.json.decode(out)["not_told"] == []
    return told(Path("out.xml").read_bytes())


def cases(layshaft: Command) -> list[dict[str, Any]]:
    """All cases, the newest first."""
    found: list[dict[str, Any]] = msgspec.json.decode(
        layshaft("case", "list", "--state", "all", "-o", "json")[1]
    )
    return found


# --- through the service ---


@contextmanager
def service(config: Path) -> Iterator[None]:
    """`layshaft run` as a process of its own."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("LAYSHAFT_")}
    with (config.parent / "service.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ops", "run", "--config", str(config)],
            env={**environ, "PYTHONPATH": str(ROOT)},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=DEADLINE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_until(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < end, f"not within {DEADLINE_S} s: {what}"
        time.sleep(0.1)


def publish(layshaft: Command, file: Path, text: str) -> None:
    """The source has sent it: once the service has made its queue."""
    file.write_text(text)
    command = ("publish", str(file), "--source", "sap", "--kind", "idoc")
    wait_until(lambda: layshaft(*command)[0] == 0, "it is sent")


def is_settled(url: str, messages: int) -> bool:
    """So many messages have come, and they and the events that they led to are decided."""

    async def ask() -> bool:
        connection = await asyncpg.connect(url)
        try:
            return bool(
                await connection.fetchval(
                    """
                    select count(*) filter (where direction = 'in') = $1
                       and bool_and(is_decided or not is_awaited)
                    from (
                        select m.direction, m.direction = 'in' or m.kind = any($2) as is_awaited,
                               exists (select from inbox i where i.source = m.source
                                       and i.id = m.id) as is_decided
                        from message m
                    ) m
                    """,
                    messages,
                    list(CATALOGUE.events),
                )
            )
        finally:
            await connection.close()

    return asyncio.run(ask())


def test_a_sender_is_told_what_was_applied_and_what_was_refused_with_the_words_of_its_case(
    layshaft: Command, config: Path, tmp_path: Path, database_url: str
) -> None:
    sent = (BOM, SUPPLIER, BROKEN, OF_NOTHING, TEST, ANSWER)
    with service(config):
        for number, text in enumerate(sent):
            publish(layshaft, tmp_path / f"idoc-{number}.xml", text)
        wait_until(lambda: is_settled(database_url, len(sent)), "all is decided")
    found = audited(layshaft)
    assert {number: one.status for number, one in found.items()} == {
        "417003": "53",
        "417001": "52",
        "417103": "51",
        "417104": "51",
        "417004": "51",
    }
    by_code = {case["code"]: case for case in cases(layshaft)}
    for idoc, code in (
        ("417001", "amount-ambiguous"),
        ("417103", "unit-unknown"),
        ("417104", "field-missing"),
        ("417004", "test-message"),
    ):
        case = by_code[code]
        assert found[idoc].text.startswith(f"Case {case['id']}: {case['what']} ("), idoc
    assert found["417003"].text == "Applied"
    body = (tmp_path / "out.xml").read_bytes()
    assert [
        (one.control.get("SNDPRN"), one.control.get("RCVPRN"), one.is_test) for one in idocs(body)
    ] == [("LAYSHAFT", "GBXCLNT100", False), ("LAYSHAFT", "GBXCLNT100", True)]
    set_there = audited(layshaft, "--message", "STATUS")
    assert {number: one.status for number, one in set_there.items()} == {
        "417003": "41",
        "417001": "41",
        "417103": "40",
        "417104": "40",
        "417004": "40",
    }


# --- states that pass by ---


async def take(config: Path, texts: Sequence[str], *, with_events: bool = True) -> None:
    """The documents are taken one after the other; then the events, and what waited."""
    configuration = load(config, {})
    async with database_at(configuration.settings.database_url) as database:
        pipeline = Pipeline(
            lane="standard",
            storage=SqlStorage(database),
            recognise=recogniser(configuration.settings, CATALOGUE),
            handler_named=CATALOGUE.handler_named,
            rules=configuration.rules,
            policy=RetryPolicy(),
            metrics=Metrics(),
            fail_points=FailPoints({}),
            committed=lambda: None,
        )
        for text in texts:
            delivery = Delivery("sap", "idoc", text.encode(), "application/xml")
            await pipeline.take([Arrival(delivery, "standard", "in.sap.idoc.standard")])
        if with_events:
            await pipeline.take(await undecided(database))
        await pipeline.take_pending(50)


def execute(url: str, statement: str) -> None:
    async def work() -> None:
        async with database_at(url) as database, database.transaction() as tx:
            await tx.execute(statement)

    asyncio.run(work())


async def undecided(database: Database) -> list[Arrival]:
    """The events that nobody has decided, as they would be delivered."""
    async with database.session() as session:
        rows = await session.fetch(
            """
            select m.* from message m
            where m.direction = 'out' and m.kind = any($1) and not exists (
                select from inbox i where i.source = m.source and i.id = m.id)
            order by m.seq
            """,
            list(CATALOGUE.events),
        )
    return [
        Arrival(
            delivery_of(row),
            row["lane"],
            f"{row['kind']}.{row['lane']}",
            logged=Position(row["at"], row["seq"]),
        )
        for row in rows
    ]


def test_an_idoc_waits_until_what_it_says_is_taken_too(layshaft: Command, config: Path) -> None:
    asyncio.run(take(config, [BOM], with_events=False))
    waiting = audited(layshaft)["417003"]
    assert (waiting.status, waiting.text) == ("64", "What it says is on its way")
    assert audited(layshaft, "--message", "STATUS")["417003"].status == "39"
    asyncio.run(take(config, []))
    assert audited(layshaft)["417003"].status == "53"


def test_an_idoc_waits_behind_a_refused_one_until_a_person_lets_that_go(
    layshaft: Command, config: Path
) -> None:
    later = sample("bommat", DOCNUM="0000000000417105", MATNR="RING-9")
    asyncio.run(take(config, [BROKEN, later]))
    found = audited(layshaft)
    assert [found[number].status for number in ("417103", "417105")] == ["51", "64"]
    assert "behind" in found["417105"].text
    (case,) = cases(layshaft)
    assert layshaft("case", "close", str(case["id"]), "--reason", "sent anew")[0] == 0
    asyncio.run(take(config, []))
    asyncio.run(take(config, []))
    found = audited(layshaft)
    assert [found[number].status for number in ("417103", "417105")] == ["68", "53"]
    assert found["417103"].text.startswith(f"Case {case['id']}: {case['what']}")


def test_what_nobody_could_read_is_let_go_with_its_case(layshaft: Command, config: Path) -> None:
    asyncio.run(take(config, [OF_NOTHING]))
    assert audited(layshaft)["417104"].status == "51"
    (case,) = cases(layshaft)
    assert layshaft("case", "close", str(case["id"]), "--reason", "sent anew")[0] == 0
    assert audited(layshaft)["417104"].status == "68"


def test_a_second_content_under_a_known_number_is_refused_and_the_first_one_stays(
    layshaft: Command, config: Path
) -> None:
    asyncio.run(take(config, [BOM, BOM, BOM.replace("Shaft assembly", "Shaft")]))
    exit_code, out, _ = layshaft("idoc", "audit", "sap", *SINCE, "--out", "out.xml", "-o", "json")
    assert (exit_code, msgspec.json.decode(out)["told"]) == (0, {"posted": 1, "refused": 1})
    (report,) = read_back(Path("out.xml").read_bytes())
    assert [(one.number, one.status) for one in report.statuses] == [
        ("417003", "53"), ("417003", "51"),
    ]  # fmt: skip
    assert "used before for another content" in report.statuses[1].text


def test_once_what_was_left_out_is_settled_the_idoc_is_posted(
    layshaft: Command, config: Path
) -> None:
    asyncio.run(take(config, [SUPPLIER]))
    assert audited(layshaft)["417001"].status == "52"
    for case in cases(layshaft):
        assert layshaft("case", "close", str(case["id"]), "--reason", "entered by hand")[0] == 0
    assert audited(layshaft)["417001"].status == "53"


def test_of_several_idocs_in_one_document_each_is_told_of(layshaft: Command, config: Path) -> None:
    supplier = SUPPLIER.partition("<CREMAS05>")[2].partition("</CREMAS05>")[0]
    prices = PRICES.partition("<COND_A04>")[2].partition("</COND_A04>")[0]
    both = f"<IDOCS>{supplier}{prices}</IDOCS>"
    asyncio.run(take(config, [both]))
    found = audited(layshaft)
    assert {number: one.status for number, one in found.items()} == {
        "417001": "52",
        "417004": "53",
    }


def test_an_idoc_is_refused_where_an_event_that_it_became_is(
    layshaft: Command, config: Path
) -> None:
    # Of the same second and with the same last digits: one version, and another text in it.
    other = BOM.replace("<DOCNUM>0000000000417003<", "<DOCNUM>0000000001417003<")
    asyncio.run(take(config, [BOM, other.replace("Shaft assembly", "Shaft")]))
    found = audited(layshaft)
    assert [found[number].status for number in ("417003", "1417003")] == ["53", "51"]
    assert "is known in this very version with other content" in found["1417003"].text


def test_a_case_that_an_idoc_shares_with_another_one_of_its_object_is_told_too(
    layshaft: Command, config: Path, database_url: str
) -> None:
    asyncio.run(take(config, [BROKEN]))
    (case,) = cases(layshaft)
    execute(database_url, "update exception_case set message_at = now(), message_seq = 0")
    assert audited(layshaft)["417103"].text.startswith(f"Case {case['id']}: ")


async def test_of_more_events_than_are_asked_for_it_is_said(
    config: Path, database_url: str
) -> None:
    await take(config, [BOM], with_events=False)
    async with database_at(database_url) as database, database.transaction() as tx:
        row = await tx.fetchrow("select * from message where direction = 'in'")
        assert row is not None
        sought = Sought(
            position=Position(row["at"], row["seq"]),
            ids=(row["id"],),
            correlation_ids=(row["correlation_id"],),
            subscriptions=("idoc-document",),
            events=CATALOGUE.events,
        )
        whole = await whereabouts(tx, sought)
        cut = await whereabouts(tx, sought, limit=1)
        others = await whereabouts(tx, msgspec.structs.replace(sought, events=("item.changed",)))
        nowhere = Position(row["at"], row["seq"] + 1_000)
        assert await whereabouts(tx, msgspec.structs.replace(sought, position=nowhere)) is None
    assert whole is not None
    assert cut is not None
    assert others is not None
    assert (whole.own.outcome, [part.event for part in whole.events], whole.is_complete) == (
        "applied", ["bom.changed"] * 2, True,
    )  # fmt: skip
    assert (cut.events, cut.is_complete) == (whole.events[:1], False)
    assert (others.events, others.is_complete) == ((), True)


# --- what cannot be told ---


def test_of_nothing_there_is_no_file(layshaft: Command, config: Path) -> None:
    asyncio.run(take(config, [ANSWER, "no IDoc at all"]))
    exit_code, out, err = layshaft("idoc", "audit", "sap", *SINCE, "--out", "out.xml")
    assert (exit_code, out) == (4, "")
    assert "LAY-nothing-to-tell" in err
    assert not Path("out.xml").exists()


def test_what_cannot_be_told_is_named_and_the_others_are_told_of(
    layshaft: Command, config: Path
) -> None:
    to_nobody = sample("bommat", DOCNUM="0000000000417106", MATNR="PIN", SNDPRN="")
    asyncio.run(take(config, [BOM, to_nobody, BOM.replace("</BOMMAT04>", "")]))
    exit_code, out, _ = layshaft("idoc", "audit", "sap", *SINCE, "--out", "out.xml", "-o", "json")
    done = msgspec.json.decode(out)
    assert (exit_code, done["told"]) == (1, {"posted": 1})
    assert [one["idoc"] for one in done["not_told"]] == ["", "0000000000417106"]
    assert set(told(Path("out.xml").read_bytes())) == {"417003"}
    exit_code, out, _ = layshaft("idoc", "audit", "sap", *SINCE, "--out", "again.xml")
    assert exit_code == 1
    assert "IDoc 0000000000417106: " in out


def test_what_was_forgotten_is_said_to_be(
    layshaft: Command, config: Path, database_url: str
) -> None:
    asyncio.run(take(config, [BOM]))
    execute(database_url, "delete from inbox")
    exit_code, _, err = layshaft("idoc", "audit", "sap", *SINCE, "--out", "out.xml")
    assert exit_code == 4
    assert "retention.dedupe_days" in err


def test_more_messages_than_the_limit_are_said(layshaft: Command, config: Path) -> None:
    asyncio.run(take(config, [BOM, PRICES]))
    exit_code, _, err = layshaft("idoc", "audit", "sap", *SINCE, "--out", "o.xml", "--limit", "1")
    assert exit_code == 1
    assert "more than 1 message" in err
    assert set(told(Path("o.xml").read_bytes())) == {"417003"}


@pytest.mark.parametrize(
    ("arguments", "exit_code", "says"),
    [
        (("sap", "--since", "2000-01-01", "--limit", "0"), 2, "LAY-limit-not-positive"),
        (("sap", "--since", "2999-01-01"), 4, "LAY-nothing-to-tell"),
        (("sap", "--since", "2000-01-01", "--until", "2000-01-02"), 4, "LAY-nothing-to-tell"),
        (("plm", "--since", "2000-01-01"), 4, "LAY-nothing-to-tell"),
        (("sap", "--since", "2000-01-01", "--message", "ORDERS"), 2, "LAY-usage"),
        (("sap",), 2, "LAY-usage"),
    ],
)
def test_what_is_not_audited_leaves_no_file(
    layshaft: Command, config: Path, arguments: Sequence[str], exit_code: int, says: str
) -> None:
    asyncio.run(take(config, [BOM]))
    found, out, err = layshaft("idoc", "audit", *arguments, "--out", "out.xml")
    assert (found, out) == (exit_code, "")
    assert says in err
    assert not Path("out.xml").exists()


def test_a_file_is_written_over_only_when_that_is_asked_for(
    layshaft: Command, config: Path
) -> None:
    asyncio.run(take(config, [BOM]))
    Path("out.xml").write_text("mine")
    exit_code, _, err = layshaft("idoc", "audit", "sap", *SINCE, "--out", "out.xml")
    assert (exit_code, "LAY-file-exists" in err) == (5, True)
    assert Path("out.xml").read_text() == "mine"
