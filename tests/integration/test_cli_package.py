"""`layshaft package` as scripts use it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path

import aio_pika
import msgspec
import pytest

from canonical.package import PACKAGE_TYPE, PackageReference
from handlers import CATALOGUE
from ops.cli.tree import run
from ops.configuration import load
from ops.queues import declare_topology
from tests.integration.people import token_at
from tests.integration.test_cli import configuration
from tests.integration.toy import DEADLINE_S

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def layshaft(
    database_url: str,
    amqp_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> Command:
    """The command with a configuration of one source, given by an operator; (exit code, stdout,
    stderr)."""
    path = configuration(tmp_path, database_url, amqp_url)
    asyncio.run(declare_topology(load(path, {}).settings, CATALOGUE.events))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LAYSHAFT_CONFIG", raising=False)
    monkeypatch.setenv("LAYSHAFT_TOKEN", token_at(database_url, "ann", "operator"))

    def command(*arguments: str) -> tuple[int, str, str]:
        exit_code = run(arguments)
        said = capfdbinary.readouterr()
        return exit_code, said.out.decode(), said.err.decode()

    return command


def test_a_file_is_put_listed_shown_and_got(layshaft: Command, tmp_path: Path) -> None:
    (tmp_path / "big.pdx").write_bytes(b"content")
    exit_code, out, _ = layshaft("package", "put", "big.pdx", "-o", "json")
    assert exit_code == 0
    put = msgspec.json.decode(out)
    assert put == {
        "reference": "package/1",
        "bytes": 7,
        "sha256": hashlib.sha256(b"content").hexdigest(),
        "name": "big.pdx",
        "content_type": "application/zip",
        "message_id": "",
    }
    _, out, _ = layshaft("package", "list")
    assert "package/1" in out
    assert "ann" in out
    _, out, _ = layshaft("package", "show", "package/1", "-o", "json")
    assert msgspec.json.decode(out)["messages"] == 0
    exit_code, _, err = layshaft("package", "get", "package/1", "--to", "copy")
    assert (exit_code, (tmp_path / "copy").read_bytes()) == (0, b"content")
    assert "7 bytes" in err


async def _taken(amqp_url: str) -> list[tuple[str | None, bytes]]:
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue("in.plm.product-definition.standard")
        # One consumer at a time: such a queue is consumed, it gives nothing to whoever asks.
        async with asyncio.timeout(DEADLINE_S), queue.iterator(no_ack=True) as messages:
            message = await anext(messages)
            return [(message.content_type, message.body)]


def test_put_with_a_source_sends_the_reference(
    layshaft: Command, tmp_path: Path, amqp_url: str
) -> None:
    (tmp_path / "big.pdx").write_bytes(b"content")
    exit_code, out, err = layshaft("package", "put", "big.pdx", "--source", "plm", "-o", "json")
    assert exit_code == 0, err
    put = msgspec.json.decode(out)
    ((content_type, body),) = asyncio.run(_taken(amqp_url))
    assert content_type == PACKAGE_TYPE
    assert msgspec.json.decode(body, type=PackageReference) == PackageReference(
        put["reference"], put["bytes"], put["sha256"]
    )


@pytest.mark.parametrize(
    ("arguments", "exit_code", "code"),
    [
        (("put", "nothing.pdx"), 4, "LAY-file-unreadable"),
        (("put", "here.pdx", "--source", "nobody"), 4, "LAY-source-unknown"),
        (("put", "here.bin", "--source", "plm"), 2, "LAY-kind-unknown"),
        (("put", "empty.pdx"), 2, "LAY-package-empty"),
        (("show", "package/7"), 4, "LAY-not-found"),
        (("show", "seven"), 2, "LAY-package-reference"),
        (("get", "log/2026-01-01T00:00:00+00:00/1"), 4, "LAY-not-found"),
        (("get", "log/never"), 4, "LAY-not-found"),
    ],
)
def test_what_cannot_be_done_is_said_with_a_code(
    layshaft: Command, tmp_path: Path, arguments: tuple[str, ...], exit_code: int, code: str
) -> None:
    for name, content in (("here.pdx", b"x"), ("here.bin", b"x"), ("empty.pdx", b"")):
        (tmp_path / name).write_bytes(content)
    found, out, err = layshaft("package", *arguments)
    assert (found, out) == (exit_code, "")
    assert code in err


def test_a_file_beyond_the_limit_is_refused_before_it_is_read(
    layshaft: Command, tmp_path: Path
) -> None:
    with (tmp_path / "huge.pdx").open("wb") as file:
        file.truncate(256 * 1024 * 1024 + 1)
    exit_code, _, err = layshaft("package", "put", "huge.pdx")
    assert (exit_code, "LAY-package-too-large" in err) == (5, True)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_not_taken_for_a_database_that_is_away(
    layshaft: Command, tmp_path: Path
) -> None:
    (tmp_path / "big.bin").write_bytes(bytes(1024 * 1024))
    assert layshaft("package", "put", "big.bin")[0] == 0
    exit_code, _, err = layshaft("package", "get", "package/1", "--to", "/dev/full")
    assert exit_code == 2
    assert "LAY-file-unwritable" in err
    assert "No space left on device" in err
