"""Every driver is timed, on messages that come to something, against msgspec in the same round."""

from __future__ import annotations

import msgspec
import pytest

from benchmarks.drivers import (
    YARDSTICK,
    Task,
    Timed,
    Timings,
    file_task,
    inbound,
    outbound,
    summary,
    tables,
    time_tasks,
)
from benchmarks.report import Ratio
from benchmarks.samples import Sample, effects_of, operations, samples
from benchmarks.written_files import written_files
from canonical.effects import Emit, Fetch
from canonical.events import SOURCE
from canonical.operations import verb
from handlers import DRIVERS, HANDLERS
from handlers.systems.idoc.outbound import FORMS
from tests.corpus import CORPUS

RESULTS = CORPUS.parents[1] / "benchmarks" / "results"


def task(steps: dict[str, int]) -> Task:
    """Steps that do nothing, with the bytes they are about."""
    return Task("x", "y", 100, 50, {name: ((lambda: None), size) for name, size in steps.items()})


def test_every_driver_that_takes_messages_has_one_here() -> None:
    assert {sample.system for sample in samples()} == (
        {who for who, _ in HANDLERS} - {SOURCE} | {"table"}
    )


def test_a_message_is_decoded_translated_and_encoded_and_its_sizes_are_told() -> None:
    real = next(sample for sample in samples() if sample.name == "pdx_subassembly.xml")
    found = inbound(real)
    assert list(found.steps) == ["decode", "translate", "encode", "all three", YARDSTICK]
    assert found.message_bytes == 209_492
    assert found.canonical_bytes < found.message_bytes
    assert [size for _, size in found.steps.values()] == [
        found.message_bytes,
        found.message_bytes,
        found.canonical_bytes,
        found.message_bytes,
        found.canonical_bytes,
    ]


@pytest.mark.parametrize("sample", samples(), ids=lambda sample: sample.name)
def test_every_message_is_timed_whatever_it_comes_to(sample: Sample) -> None:
    found = inbound(sample)
    assert found.canonical_bytes > 0
    for call, _ in found.steps.values():
        call()


def test_what_tells_no_more_than_a_key_is_written_as_the_read_it_leads_to() -> None:
    event = next(sample for sample in samples() if sample.name == "s4.event")
    decode, _ = inbound(event).steps[YARDSTICK]
    (read,) = effects_of(event)
    assert isinstance(read, Fetch)
    assert decode() == [read]


def test_every_form_of_a_file_is_timed_and_as_long_as_it_is_written() -> None:
    files = list(written_files(samples()))
    tables = {("table", path.stem) for path in (CORPUS / "table").glob("*.toml")}
    assert {(file.system, file.name) for file in files} == (
        {("idoc", kind) for kind in FORMS} | {("pdx", "package")} | tables
    )
    for file in files:
        task = file_task(file)
        assert list(task.steps) == ["write", YARDSTICK]
        assert task.message_bytes == len(file.write()) > 0
        decode, _ = task.steps[YARDSTICK]
        assert decode() == list(file.canonical)


def test_the_yardstick_decodes_what_the_driver_said() -> None:
    supplier = next(sample for sample in samples() if sample.name == "coupa.supplier")
    decode, _ = inbound(supplier).steps[YARDSTICK]
    (effect,) = effects_of(supplier)
    assert isinstance(effect, Emit)
    assert decode() == [effect.data]


def test_every_operation_of_every_driver_is_timed() -> None:
    wanted = {(d.name, verb(operation)) for d in DRIVERS.values() for operation in d.operations}
    assert {(task.system, task.name) for task in outbound(operations())} == wanted


def test_what_is_written_has_a_size_and_a_question_has_none() -> None:
    sizes = {task.name: task.message_bytes for task in outbound(operations())}
    assert sizes["read-supplier"] == sizes["read-coverage"] == 0
    assert all(size for name, size in sizes.items() if not name.startswith("read-"))


def test_rates_are_medians_and_ratios_are_of_one_round() -> None:
    found = summary(
        task({"decode": 2_000_000, YARDSTICK: 50}),
        {"decode": [10.0, 30.0, 20.0], YARDSTICK: [20.0, 30.0, 100.0]},
    )
    assert found[0] == Timed(
        *("x", "y", "decode", 100, 50),
        per_s=Ratio(20.0, 10.0, 30.0),
        mb_per_s=40.0,
        of_yardstick=Ratio(0.5, 0.2, 1.0),
    )
    assert found[1].of_yardstick == Ratio(1.0, 1.0, 1.0)


def test_each_round_takes_every_step_once_more() -> None:
    calls = {"a": 0, YARDSTICK: 0}

    def count(name: str) -> None:
        calls[name] += 1

    counted = Task(
        *("x", "y", 1, 1),
        steps={"a": (lambda: count("a"), 1), YARDSTICK: (lambda: count(YARDSTICK), 1)},
    )
    found = time_tasks([counted], rounds=3, sample_s=0.0)
    # One that fills caches, one that tells how long it takes, and one each round.
    assert calls == {"a": 5, YARDSTICK: 5}
    assert [timed.step for timed in found] == ["a", YARDSTICK]
    assert all(timed.per_s.lowest > 0 for timed in found)


def test_the_page_of_results_shows_the_timings_that_are_kept() -> None:
    kept = msgspec.json.decode((RESULTS / "drivers.json").read_bytes(), type=Timings)
    page = (RESULTS / "README.md").read_text()
    for table in tables(kept):
        assert table in page, "put what `benchmarks.drivers.tables` makes of them there"
    assert f"commit `{kept.commit}`, medians of {kept.rounds} rounds" in page
