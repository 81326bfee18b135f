"""The command as scripts and people use it: data, words, exit codes."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aio_pika
import msgspec
import pytest

from handlers import CATALOGUE
from ops.cli import session
from ops.cli.problems import Problem
from ops.cli.tree import run
from ops.configuration import load
from ops.queues import declare_topology
from tests.integration.gearbox_change import STORY, database_at, seed
from tests.integration.people import token_at

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "ops" / "demo" / "packages" / "gearbox_package.pdx"
NOWHERE = "127.0.0.1:9"

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def layshaft(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    """The command on a database with the change half-way, given by Mia, who may decide for quality,
    operate and integrate; (exit code, stdout, stderr)."""
    asyncio.run(seed(database_url))
    monkeypatch.setenv(
        "LAYSHAFT_TOKEN", token_at(database_url, "Mia", "quality", "operator", "integrator")
    )
    monkeypatch.chdir(tmp_path)
    for name in ("LAYSHAFT_CONFIG", "LAYSHAFT_STATE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LAYSHAFT_DATABASE_URL", database_url)

    def command(*arguments: str) -> tuple[int, str, str]:
        exit_code = run(arguments)
        said = capsys.readouterr()
        return exit_code, said.out, said.err

    return command


def configuration(folder: Path, database_url: str, amqp_url: str) -> Path:
    """A configuration with one source, and one system that does not listen."""
    path = folder / "layshaft.toml"
    path.write_text(
        f"""
        [settings]
        database_url = "{database_url}"
        amqp_url = "{amqp_url}"
        [[settings.sources]]
        name = "plm"
        kinds = ["product-definition", "engineering-change"]
        contracts = ["pdx.package", "arena.change"]
        [[settings.systems]]
        name = "erp"
        driver = "s4"
        base_url = "http://{NOWHERE}/sap"
        auth = "s4"
        user = "demo"
        secret = "env:LAYSHAFT_NO_SUCH_SECRET"
        [rules]
        central_purchasing_org = "1000"
        plants = []
        distribution = []
        routes = []
        """
    )
    return path


def data(output: str) -> Any:
    """What `-o json` printed."""
    return msgspec.json.decode(output)


def test_change_list_is_a_table_of_words(layshaft: Command) -> None:
    exit_code, out, err = layshaft("change", "list")
    assert (exit_code, err) == (0, "")
    head, row = out.splitlines()
    assert head.split()[:4] == ["change", "state", "done", "waits"]
    assert row.startswith("ECO-2001  open   6 of 12  master data, quality, sourcing")


def test_change_list_says_how_much_is_late(layshaft: Command, database_url: str) -> None:
    async def let_time_pass() -> None:
        async with database_at(database_url) as database, database.transaction() as tx:
            await tx.execute("update step set due_at = now() - interval '1 hour'")

    asyncio.run(let_time_pass())
    # Six of twelve are done, and these are never late.
    assert "ECO-2001  open, 6 late  6 of 12  " in layshaft("change", "list")[1]


def test_change_list_is_narrowed_and_ordered_by_what_waits_for_it(layshaft: Command) -> None:
    exit_code, out, _ = layshaft("change", "list", "--by-risk", "--plant", "1010")
    assert exit_code == 0
    assert out.splitlines()[-1] == "On top: 2 plants and 0 open purchase orders wait for ECO-2001."
    assert layshaft("change", "list", "--stage", "failed")[1].count("ECO-2001") == 1
    for narrow in (("--plant", "9999"), ("--stage", "complete"), ("--number", "GB-100")):
        assert layshaft("change", "list", *narrow)[1] == "There is no such change.\n"
    assert layshaft("change", "list", "--stage", "late")[0] == 2


def test_change_show_says_what_each_open_step_waits_for(layshaft: Command) -> None:
    exit_code, out, _ = layshaft("change", "show", "ECO-2001")
    assert exit_code == 0
    # Of a step its number comes first.
    lines = [" ".join(line.split()).lstrip("0123456789 ") for line in out.splitlines()]
    question = "Supplier 17300003 is not qualified: may GB-120 be bought there?"
    assert "Plant 1010 3 of 5 done" in lines
    assert (
        "erp info-record 17300003/GB-120 put-info-record waiting purchasing "
        f"approval of quality: {question} (quality)"
    ) in lines
    assert "6 of 12 done. Waiting for: master data, quality, sourcing." in out
    assert "sourcing coverage/GB-110: contract cover" in lines


def test_change_show_as_data_has_every_step(layshaft: Command) -> None:
    _, out, _ = layshaft("change", "show", "ECO-2001", "-o", "json")
    change = data(out)
    assert (change["number"], change["done"], change["total"]) == ("ECO-2001", 6, 12)
    assert len(change["steps"]) == 12
    first = change["steps"][0]
    assert (first["plant"], first["system"], first["object_id"]) == ("1010", "erp", "GB-100")
    assert {"operation", "state", "owner", "waits_for", "waits_owner", "is_late"} <= set(first)
    assert [b["owner"] for b in change["blockers"][:3]] == ["master data", "quality", "sourcing"]


def test_an_unknown_change_is_not_found_and_the_nearest_is_named(layshaft: Command) -> None:
    exit_code, out, err = layshaft("change", "show", "ECO-2010")
    assert (exit_code, out) == (4, "")
    assert "Did you mean ECO-2001?" in err


@pytest.mark.parametrize(
    "arguments",
    [("task", "show", "4711"), ("case", "show", "4711"), ("trace", "X-4711"),
     ("task", "approve", "4711", "--reason", "r"), ("case", "close", "4711", "--reason", "r")],
)  # fmt: skip
def test_what_does_not_exist_is_exit_code_4(layshaft: Command, arguments: tuple[str, ...]) -> None:
    exit_code, out, err = layshaft(*arguments)
    assert (exit_code, out) == (4, "")
    assert len(err.splitlines()) == 3


def test_an_approval_goes_on_with_the_content_that_was_read(layshaft: Command) -> None:
    (task,) = data(layshaft("task", "list", "-o", "json")[1])
    number = str(task["id"])
    stale = layshaft("task", "approve", number, "--reason", "r", "--digest", "0" * 64)
    assert stale[0] == 6
    assert "LAY-content-changed" in stale[2]
    exit_code, out, err = layshaft(
        "task", "approve", number, "--reason", "audit passed", "--digest", task["digest"][:16]
    )
    assert exit_code == 0
    assert out.startswith(f"Task {number} approved by Mia")
    assert "layshaft change show ECO-2001" in err
    assert layshaft("task", "list")[1] == "Nobody is asked for a decision.\n"
    assert "approved by Mia" in layshaft("task", "show", number)[1]
    again = layshaft("task", "approve", number, "--reason", "r", "--digest", task["digest"])
    assert again[0] == 6
    assert "LAY-not-open" in again[2]


@pytest.mark.parametrize("verdict", ["approve", "reject"])
def test_the_command_that_is_shown_names_the_content_that_is_shown(
    layshaft: Command, verdict: str
) -> None:
    (task,) = data(layshaft("task", "list", "-o", "json")[1])
    page = layshaft("task", "show", str(task["id"]))[1]
    (shown,) = [line for line in page.splitlines() if f"layshaft task {verdict} " in line]
    words = shlex.split(shown.partition("layshaft ")[2])
    assert words[words.index("--digest") + 1] == task["digest"][:12]
    assert layshaft(*words)[0] == 0


@pytest.mark.parametrize("verdict", ["approve", "reject"])
def test_nothing_is_decided_without_the_content_that_was_read(
    layshaft: Command, verdict: str
) -> None:
    (task,) = data(layshaft("task", "list", "-o", "json")[1])
    number = str(task["id"])
    exit_code, out, err = layshaft("task", verdict, number, "--reason", "r")
    assert (exit_code, out) == (2, "")
    assert "LAY-digest-missing" in err
    assert f"layshaft task show {number}" in err
    assert data(layshaft("task", "list", "-o", "json")[1]) == [task]


def test_a_rejection_holds_what_stands_behind_it(layshaft: Command) -> None:
    (task,) = data(layshaft("task", "list", "-o", "json")[1])
    exit_code, _, _ = layshaft(
        "task", "reject", str(task["id"]), "--reason", "no audit", "--digest", task["digest"]
    )
    assert exit_code == 0
    steps = data(layshaft("change", "show", "ECO-2001", "-o", "json")[1])["steps"]
    (record,) = [s for s in steps if s["operation"] == "put-info-record"]
    assert (record["state"], record["waits_owner"]) == ("held", "quality")


def test_a_reason_must_say_something(layshaft: Command) -> None:
    exit_code, _, err = layshaft("task", "approve", "1", "--reason", " ")
    assert exit_code == 2
    assert "LAY-reason-missing" in err


def test_a_case_says_what_where_who_and_what_to_do(layshaft: Command) -> None:
    exit_code, out, _ = layshaft("case", "show", "1")
    assert exit_code == 0
    for words in (
        "The unit furlong has no conversion",
        "product-definition/KIT-7: Package/Unit",
        "sender (plm)",
        "Correct the unit and send the package again",
        "1 message waits behind it",
        "\u2300 furlong",
        "layshaft case retry 1",
    ):
        assert words in out


def test_a_retried_case_is_closed_and_cannot_be_retried_again(layshaft: Command) -> None:
    assert layshaft("case", "retry", "1")[0] == 0
    assert layshaft("case", "retry", "1")[0] == 6
    assert "1  resolved" in layshaft("case", "list", "--state", "resolved")[1]


@pytest.mark.parametrize(
    ("point", "state", "again"),
    [("command.before_commit", "open", 0), ("command.after_commit", "resolved", 6)],
)
def test_a_command_that_died_did_all_or_nothing_and_may_be_given_again(
    layshaft: Command, database_url: str, point: str, state: str, again: int
) -> None:
    environment = {
        **os.environ,
        "LAYSHAFT_DATABASE_URL": database_url,
        "LAYSHAFT_FAILPOINTS": f"{point}:kill:1",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "ops", "case", "retry", "1"]
    ended = subprocess.run(command, env=environment, timeout=60, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert f"1  {state}" in layshaft("case", "list", "--state", state)[1]
    assert layshaft("case", "retry", "1")[0] == again


def test_a_case_that_is_closed_lets_the_next_message_go_on(layshaft: Command) -> None:
    exit_code, out, err = layshaft("case", "close", "1", "--reason", "sent anew")
    assert (exit_code, out) == (0, "Case 1 closed by Mia: its message was let go\n")
    assert "1 message of product-definition/KIT-7" in err


def test_trace_tells_the_path_of_a_part_with_times(layshaft: Command) -> None:
    exit_code, out, _ = layshaft("trace", "GB-120")
    assert exit_code == 0
    assert f"correlation {STORY}" in out
    assert "+0.000 s  received" in out
    assert "applied: GET A_Product('GB-120') -> 404, POST A_Product -> 201 (0.120 s)" in out
    lines = data(layshaft("trace", "GB-120", "-o", "json")[1])["lines"]
    assert {"received", "stored", "ledger", "step", "call", "case", "repeat"} == {
        line["what"] for line in lines
    }


def test_a_database_that_is_away_is_exit_code_3(
    layshaft: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAYSHAFT_DATABASE_URL", f"postgresql://user:secret@{NOWHERE}/x")
    exit_code, _, err = layshaft("change", "list")
    assert exit_code == 3
    assert "LAY-database-unreachable" in err
    assert "secret" not in err


def test_a_database_without_tables_asks_for_migrate(
    layshaft: Command, servers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAYSHAFT_DATABASE_URL", servers.database_url)
    exit_code, _, err = layshaft("change", "list")
    assert exit_code == 2
    assert "Run layshaft migrate" in err


def test_migrate_says_when_there_is_nothing_to_do(layshaft: Command) -> None:
    assert layshaft("migrate") == (0, "The schema is current.\n", "")


def test_doctor_names_each_finding_with_a_fix(
    layshaft: Command, tmp_path: Path, database_url: str, amqp_url: str
) -> None:
    configuration(tmp_path, database_url, amqp_url)
    exit_code, out, _ = layshaft("doctor", "-o", "json")
    checks = {check["code"]: check for check in data(out)}
    assert exit_code == 1
    assert checks["topology-drift"]["fix"].startswith("Start layshaft run")
    assert checks["system-unreachable"]["state"] == "problem"
    assert checks["secret-missing"]["state"] == "problem"
    for code in ("database", "database-safe", "migrations", "rows", "broker", "amqp-decoder"):
        assert checks[code]["state"] == "ok"
    assert all(check["fix"] for check in checks.values() if check["state"] != "ok")


def test_doctor_ends_with_3_where_a_server_is_away(
    layshaft: Command, tmp_path: Path, database_url: str
) -> None:
    configuration(tmp_path, database_url, f"amqp://guest:guest@{NOWHERE}/")
    exit_code, out, _ = layshaft("doctor")
    assert exit_code == 3
    assert "LAY-broker-unreachable" in out


def test_publish_puts_the_file_into_the_queue_of_its_kind(
    layshaft: Command, tmp_path: Path, database_url: str, amqp_url: str
) -> None:
    path = configuration(tmp_path, database_url, amqp_url)
    missing = layshaft("publish", str(PACKAGE), "--source", "plm")
    asyncio.run(declare_topology(load(path, {}).settings, CATALOGUE.events))
    exit_code, out, err = layshaft("publish", str(PACKAGE), "--source", "plm", "--id", "mine")
    body, message_id = asyncio.run(_get(amqp_url, "in.plm.product-definition.standard"))
    assert missing[0] == 4
    assert (exit_code, err) == (0, "")
    assert out.splitlines()[-1].startswith("layshaft trace ")
    assert (body, message_id) == (PACKAGE.read_bytes(), "mine")


def test_publish_names_the_sources_there_are(
    layshaft: Command, tmp_path: Path, database_url: str, amqp_url: str
) -> None:
    configuration(tmp_path, database_url, amqp_url)
    exit_code, _, err = layshaft("publish", str(PACKAGE), "--source", "plx")
    assert exit_code == 4
    assert "the configuration names plm" in err


@pytest.mark.parametrize("away", ["database", "broker"])
def test_run_without_a_server_ends_with_3_and_three_lines(
    layshaft: Command, tmp_path: Path, database_url: str, away: str
) -> None:
    nowhere = f"postgresql://u:p@{NOWHERE}/x" if away == "database" else database_url
    path = configuration(tmp_path, nowhere, f"amqp://guest:guest@{NOWHERE}/")
    done = subprocess.run(
        [sys.executable, "-m", "ops", "run", "--config", str(path)],
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith("LAYSHAFT_")},
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert [line[:8] for line in done.stderr.splitlines()] == ["layshaft", "  why:  ", "  do:   "]


def test_a_reader_that_has_enough_is_no_error(layshaft: Command) -> None:
    command = f"{sys.executable} -m ops change show ECO-2001 --all | head -n 1"
    done = subprocess.run(
        ["sh", "-c", command],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("ECO-2001  Gearbox: new input shaft\n", "")


async def _get(amqp_url: str, queue_name: str) -> tuple[bytes, str | None]:
    """Body and message id of the next message in the queue."""
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue(queue_name, ensure=False)
        # One consumer at a time: such a queue is consumed, it gives nothing to whoever asks.
        async with asyncio.timeout(5), queue.iterator() as messages:
            message = await anext(messages)
            await message.ack()
            return message.body, message.message_id


def test_a_statement_that_takes_too_long_is_not_a_database_that_is_away(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LAYSHAFT_CONFIG", raising=False)
    monkeypatch.setenv("LAYSHAFT_DATABASE_URL", database_url)
    monkeypatch.setattr(session, "STATEMENT_S", 0.2)
    with pytest.raises(Problem) as ended:
        session.read(session.Common(), lambda tx: tx.fetch("select pg_sleep(10)"))
    assert (ended.value.code, ended.value.exit_code) == ("statement-ended", 3)
    assert "statement timeout" in ended.value.why
    assert "Start it" not in ended.value.fix


def test_a_task_is_delegated_and_overdue_on_its_page(
    layshaft: Command, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (task,) = data(layshaft("task", "list", "-o", "json")[1])
    number = str(task["id"])
    bob = token_at(database_url, "Bob", "sourcing")
    exit_code, out, err = layshaft("task", "delegate", number, "--to", "Bob", "--reason", "away")
    assert (exit_code, out) == (0, f"Task {number} delegated to Bob by Mia: {task['text']}\n")
    assert err == f"Bob reads it, and decides as shown there: layshaft task show {number}\n"

    async def make_late() -> None:
        async with database_at(database_url) as database, database.session() as session:
            await session.execute(
                "update step set due_at = now() - interval '150 min' where kind = 'approval';"
                "insert into step_escalation (step_id, role, level, due_at)"
                " select id, 'quality-lead', 1, due_at from step where kind = 'approval'"
            )

    asyncio.run(make_late())
    shown = layshaft("task", "show", number)[1]
    assert "2 h 30 min" in shown
    assert "quality-lead, who may decide too" in shown
    assert "Bob by Mia, " in shown
    listed = layshaft("task", "list")[1]
    assert "overdue by" in listed
    assert "quality-lead" in listed
    monkeypatch.setenv("LAYSHAFT_TOKEN", bob)
    decided = layshaft(
        "task", "approve", number, "--reason", "seen", "--digest", task["digest"][:16]
    )
    assert decided[0] == 0
    assert "approved by Bob in the place of Mia" in layshaft("task", "show", number)[1]
    onward = layshaft("task", "delegate", number, "--to", "Mia", "--reason", "away")
    assert (onward[0], "Bob may not delegate a decision" in onward[2]) == (5, True)
