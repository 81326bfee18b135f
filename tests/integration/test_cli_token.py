"""`layshaft token`, and how commands learn who gives them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from broker.store import Database
from ops.cli.tree import run
from tests.integration.gearbox_change import APPROVAL, database_at, seed_in
from tests.integration.people import token_at

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def layshaft(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    """The command on an empty database, with the token it is given; (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    for name in ("LAYSHAFT_CONFIG", "LAYSHAFT_STATE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LAYSHAFT_DATABASE_URL", database_url)

    def command(*arguments: str, token: str = "") -> tuple[int, str, str]:
        monkeypatch.setenv("LAYSHAFT_TOKEN", token)
        exit_code = run(arguments)
        said = capsys.readouterr()
        return exit_code, said.out, said.err

    return command


def data(output: str) -> Any:
    """What `-o json` printed."""
    return msgspec.json.decode(output)


def made(layshaft: Command, *arguments: str, token: str = "") -> str:
    """A token that `token create` printed."""
    exit_code, out, err = layshaft("token", "create", *arguments, token=token)
    assert exit_code == 0, err
    return out.strip()


ADMIN = ("root", "--role", "admin", "--plant", "*")


def test_a_token_is_printed_alone_and_once(layshaft: Command) -> None:
    exit_code, out, err = layshaft("token", "create", *ADMIN)
    assert exit_code == 0
    token = out.removesuffix("\n")
    assert len(token) == 47
    assert token.startswith("lys_")
    assert "Token 1 of root (admin; plants *), until 20" in err
    assert "making one takes an admin's token" in err
    assert token not in err
    for shown in (layshaft("token", "list"), layshaft("token", "list", "-o", "json")):
        assert shown[0] == 0
        assert token not in shown[1]
        assert "root" in shown[1]


def test_an_admin_makes_others_and_they_are_listed(layshaft: Command) -> None:
    root = made(layshaft, *ADMIN)
    exit_code, out, err = layshaft(
        *("token", "create", "Q. Lindqvist", "--role", "quality", "--role", "viewer"),
        *("--plant", "1010", "--plant", "2010", "--days", "7", "--label", "laptop", "-o", "json"),
        token=root,
    )
    assert exit_code == 0
    said = data(out)
    assert (said["id"], said["name"], said["label"]) == (2, "Q. Lindqvist", "laptop")
    assert (said["roles"], said["plants"]) == (["quality", "viewer"], ["1010", "2010"])
    assert said["token"] not in err
    listed = {t["name"]: t for t in data(layshaft("token", "list", "-o", "json")[1])}
    assert listed["Q. Lindqvist"]["state"] == "valid"
    assert listed["Q. Lindqvist"]["created_by"] == "root"
    assert listed["Q. Lindqvist"]["kind"] == "person"
    assert listed["root"]["last_used_at"] is not None
    assert "token" not in listed["root"]
    assert "hash" not in listed["root"]


def test_roles_that_are_given_again_replace_those_there_were(layshaft: Command) -> None:
    root = made(layshaft, *ADMIN)
    made(layshaft, "ada", "--role", "quality", "--plant", "1010", token=root)
    exit_code, _, err = layshaft(
        "token", "create", "ada", "--role", "sourcing", "--service", token=root
    )
    assert exit_code == 0
    assert "ada was quality; plants 1010: all of its tokens have changed with it." in err
    listed = [t for t in data(layshaft("token", "list", "-o", "json")[1]) if t["name"] == "ada"]
    assert [(t["roles"], t["plants"], t["kind"]) for t in listed] == [
        (["sourcing"], ["1010"], "service")
    ] * 2


@pytest.mark.parametrize(
    ("arguments", "code", "exit_code"),
    [
        (("create", "ada", "--role", "quality", "--plant", "*"), "token-missing", 5),
        (("revoke", "1", "--reason", "lost"), "token-missing", 5),
        (("revoke", "7", "--reason", "lost"), "not-found", 4),
        (("revoke", str(2**80), "--reason", "lost"), "not-found", 4),
        (("revoke", "1", "--reason", " "), "reason-missing", 2),
        (("disable", "root", "--reason", "r"), "token-missing", 5),
        (("revoke", "one", "--reason", "lost"), "usage", 2),
    ],
)
def test_what_nobody_may_without_a_token_is_refused(
    layshaft: Command, arguments: tuple[str, ...], code: str, exit_code: int
) -> None:
    made(layshaft, *ADMIN)
    found = layshaft("token", *arguments)
    assert (found[0], found[1]) == (exit_code, "")
    assert f"LAY-{code}" in found[2]


def test_a_revoked_token_and_a_disabled_principal_may_nothing_any_more(layshaft: Command) -> None:
    root = made(layshaft, *ADMIN)
    ada = made(layshaft, "ada", "--role", "admin", "--plant", "*", token=root)
    assert layshaft("token", "disable", "ada", "--reason", "has left", token=root)[:2] == (
        0, "ada disabled by root\n",
    )  # fmt: skip
    refused = layshaft("token", "revoke", "1", "--reason", "r", token=ada)
    assert (refused[0], "LAY-principal-disabled" in refused[2]) == (5, True)
    assert layshaft("token", "enable", "ada", "--reason", "is back", token=root)[0] == 0
    assert layshaft("token", "revoke", "1", "--reason", "lost", token=ada)[:2] == (
        0, "Token 1 of root revoked by ada\n",
    )  # fmt: skip
    refused = layshaft("token", "disable", "ada", "--reason", "r", token=root)
    assert (refused[0], "LAY-token-revoked" in refused[2]) == (5, True)
    again = layshaft("token", "revoke", "1", "--reason", "lost", token=ada)
    assert (again[0], "LAY-revoked-already" in again[2]) == (6, True)


# Where a token comes from


def test_a_file_that_only_its_owner_may_read_holds_a_token(
    layshaft: Command, tmp_path: Path
) -> None:
    file = tmp_path / "root.token"
    file.write_text(f"{made(layshaft, *ADMIN)}\n")
    create = ("token", "create", "ada", "--role", "quality", "--plant", "*", "--token-file")
    for mode in (0o640, 0o604, 0o660, 0o666, 0o601):
        file.chmod(mode)
        exit_code, out, err = layshaft(*create, str(file))
        assert (exit_code, out) == (2, "")
        assert "LAY-token-file-open" in err
        assert f"its mode is {mode:03o}" in err
        assert "chmod 600" in err
    for mode in (0o600, 0o400):
        file.chmod(mode)
        # It goes before the variable, whatever that says.
        assert layshaft(*create, str(file), token="lys_nothing")[0] == 0


def test_a_file_that_is_not_there_is_named(layshaft: Command) -> None:
    exit_code, _, err = layshaft("case", "close", "1", "--reason", "r", "--token-file", "no.token")
    # The case is looked for first, and reading takes no token.
    assert exit_code == 4
    exit_code, _, err = layshaft("token", "create", "ada", "--token-file", "no.token")
    assert exit_code == 2
    assert "LAY-token-file-unreadable" in err


@pytest.mark.parametrize(
    "arguments",
    [("token", "create", "ada", "--token", "{}"), ("case", "retry", "{}"), ("{}",),
     ("task", "approve", "1", "--by={}")],
)  # fmt: skip
def test_a_token_in_the_wrong_place_is_not_repeated(
    layshaft: Command, arguments: tuple[str, ...]
) -> None:
    token = made(layshaft, *ADMIN)
    exit_code, out, err = layshaft(*(word.format(token) for word in arguments))
    assert exit_code == 2
    assert token not in out + err
    assert "lys_..." in err


@pytest.mark.parametrize(
    "command",
    [("task", "list"), ("case", "list"), ("replay", "list"), ("change", "list"),
     ("package", "list"), ("token", "list")],
)  # fmt: skip
def test_reading_takes_no_token(layshaft: Command, command: tuple[str, ...]) -> None:
    assert layshaft(*command)[0] == 0


@pytest.mark.parametrize("command", [("task", "approve", "1"), ("case", "retry", "1")])
def test_nobody_says_under_which_name_he_acts(layshaft: Command, command: tuple[str, ...]) -> None:
    exit_code, _, err = layshaft(*command, "--reason", "r", "--by", "Mia")
    assert exit_code == 2
    assert "--by" in err


# Deciding with a colleague


async def ask_two(database: Database) -> None:
    """The question of the change takes two signatures."""
    await seed_in(database)
    async with database.transaction() as tx:
        operation = await tx.fetchval("select operation from step where identity = $1", APPROVAL)
        asked = msgspec.json.decode(operation) | {"signatures": 2}
        await tx.execute(
            "update step set operation = $2 where identity = $1",
            APPROVAL,
            msgspec.json.encode(asked),
        )


def shown(layshaft: Command, task: int) -> str:
    """The page of a task, one blank between its words."""
    return " ".join(layshaft("task", "show", str(task))[1].split())


def test_a_task_says_who_has_signed_and_how_many_are_missing(
    layshaft: Command, database_url: str
) -> None:
    async def prepare() -> None:
        async with database_at(database_url) as database:
            await ask_two(database)

    asyncio.run(prepare())
    ada = token_at(database_url, "ada", "quality", plants=("1010",))
    bob = token_at(database_url, "bob", "quality")
    far = token_at(database_url, "far", "quality", plants=("2010",))
    (task,) = data(layshaft("task", "list", "-o", "json")[1])
    assert (task["signatures"], task["signed_by"], task["missing"]) == (2, [], 2)
    approve = ("task", "approve", str(task["id"]), "--reason", "r", "--digest", task["digest"])
    assert "signed 0 of 2; 2 missing" in shown(layshaft, task["id"])

    exit_code, out, err = layshaft(*approve, token=ada)
    assert exit_code == 0
    assert out.startswith(f"Task {task['id']} signed by ada, 1 of 2: ")
    assert err.startswith("It takes 1 more with the role quality: layshaft task show")
    assert "signed 1 of 2: ada; 1 missing" in shown(layshaft, task["id"])
    assert "1 of 2: ada; 1 missing" in layshaft("task", "list")[1]

    again = layshaft(*approve, token=ada)
    assert (again[0], "LAY-signed-already" in again[2]) == (5, True)
    outside = layshaft(*approve, token=far)
    assert (outside[0], "LAY-plant-out-of-scope" in outside[2]) == (5, True)
    assert "far may not approve for plant 1010" in outside[2]

    exit_code, out, _ = layshaft(*approve, token=bob)
    assert exit_code == 0
    assert out.startswith(f"Task {task['id']} approved by bob: ")
    page = shown(layshaft, task["id"])
    assert "signed 2 of 2: ada, bob since" in page
    assert "approved by ada" in page
    assert "approved by bob" in page
