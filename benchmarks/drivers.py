"""What drivers cost, without servers: reading a message, deciding on it, writing what it comes to.

Every step is timed by the processor time of this process, in rounds: each round takes every step
once, and beside it the yardstick, msgspec decoding the same canonical JSON. What counts are medians
of the rounds, and ratios of steps of one round.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from statistics import median
from time import process_time
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.place import Invalid
from benchmarks.report import Ratio
from benchmarks.samples import FACTS, HELD, NOW, READS, Sample, operations, samples
from benchmarks.written_files import WrittenFile, written_files
from canonical.codec import encode
from canonical.connector import Absent, Driver, Observed, Present
from canonical.effects import Effect, Emit, Fetch, Open, Step
from canonical.operations import Operation, ReadObject, verb
from handlers import DRIVERS

WHAT = "decode, translate and encode of every driver, in this process alone"
ROUNDS, QUICK_ROUNDS = 15, 3
SAMPLE_S, QUICK_SAMPLE_S = 0.05, 0.002
"""A step is repeated for so long in each round."""
YARDSTICK = "msgspec"
_KEY = "0192d3c4-0000-7000-8000-000000000001"


class Task(msgspec.Struct, frozen=True):
    """One message or operation. steps: name -> call and the bytes it is about; yardstick last."""

    system: str
    name: str
    message_bytes: int
    canonical_bytes: int
    steps: dict[str, tuple[Callable[[], object], int]]


class Timed(msgspec.Struct, frozen=True):
    """A step of a task. per_s: messages a second of one processor, from lowest to highest round;
    mb_per_s: of the message, for encode, request and the yardstick of the canonical JSON.
    of_yardstick: against msgspec decoding that JSON."""

    system: str
    name: str
    step: str
    message_bytes: int
    canonical_bytes: int
    per_s: Ratio
    mb_per_s: float
    of_yardstick: Ratio


class Timings(msgspec.Struct, frozen=True):
    """All steps. rounds: how often each was timed."""

    timed: tuple[Timed, ...]
    rounds: int
    machine: str
    commit: str


def time_drivers(*, quick: bool, machine: str, commit: str) -> Timings:
    """Every driver's messages and operations, timed."""
    messages = samples()
    tasks = [
        *map(inbound, messages),
        *outbound(operations()),
        *map(file_task, written_files(messages)),
    ]
    rounds, sample_s = (QUICK_ROUNDS, QUICK_SAMPLE_S) if quick else (ROUNDS, SAMPLE_S)
    return Timings(tuple(time_tasks(tasks, rounds, sample_s)), rounds, machine, commit)


def inbound(sample: Sample) -> Task:
    """A message on its way to our events, or to the read or the case that it comes to instead."""
    handler, delivery = sample.handler, sample.delivery
    message = handler.read(delivery)
    said = _said(handler.decide(message, FACTS, NOW))
    if not said:
        raise Invalid(f"{sample.name} comes to nothing")
    written = [encode(data) for data in said]
    decoders = [msgspec.json.Decoder(type(data)) for data in said]

    def whole() -> None:
        effects = handler.decide(handler.read(delivery), FACTS, NOW)
        for data in _said(effects):
            encode(data)

    size, canonical = len(delivery.body), sum(map(len, written))
    return Task(
        sample.system,
        sample.name,
        size,
        canonical,
        {
            "decode": (lambda: handler.read(delivery), size),
            "translate": (lambda: handler.decide(message, FACTS, NOW), size),
            "encode": (lambda: [encode(data) for data in said], canonical),
            "all three": (whole, size),
            YARDSTICK: (_yardstick(decoders, written), canonical),
        },
    )


def _said(effects: Sequence[Effect]) -> list[msgspec.Struct]:
    """What the events say; where there are none, the reads and cases."""
    events: list[msgspec.Struct] = [e.data for e in effects if isinstance(e, Emit)]
    return events or [effect for effect in effects if isinstance(effect, Fetch | Open)]


def outbound(wanted: Sequence[Operation]) -> list[Task]:
    """What each driver asks and writes for the operations that are its own."""
    return [
        _call(driver, operation)
        for driver in DRIVERS.values()
        for operation in wanted
        if isinstance(operation, driver.operations) and _is_of(driver, operation)
    ]


def _is_of(driver: Driver, operation: Operation) -> bool:
    """A read is of an object that the driver knows."""
    return not isinstance(operation, ReadObject) or operation.kind == READS[driver.name]


def _call(driver: Driver, operation: Operation) -> Task:
    """The look at the object and, where there is something to write, the create or the change."""
    step = Step("", driver.name, "bench", "1", operation)
    # Some write to nothing but what is there.
    creates = driver.write(step, Absent(), _KEY) is not None
    held = HELD.get(type(operation), b"")
    there: Observed = Absent() if creates else Present(equal=False, native=held)

    def request() -> None:
        driver.observe(step)
        driver.write(step, there, _KEY)

    written = encode(operation)
    decoder = msgspec.json.Decoder(type(operation))
    size = len(written)
    write = driver.write(step, there, _KEY)
    return Task(
        driver.name,
        verb(operation),
        len(write.request.body or b"") if write else 0,
        size,
        {"request": (request, size), YARDSTICK: (_yardstick([decoder], [written]), size)},
    )


def file_task(file: WrittenFile) -> Task:
    """A file that is written of canonical objects."""
    written = [encode(one) for one in file.canonical]
    decoders = [msgspec.json.Decoder(type(one)) for one in file.canonical]
    size, canonical = len(file.write()), sum(map(len, written))
    return Task(
        file.system,
        file.name,
        size,
        canonical,
        {"write": (file.write, size), YARDSTICK: (_yardstick(decoders, written), canonical)},
    )


def _yardstick(
    decoders: Sequence[msgspec.json.Decoder[Any]], written: Sequence[bytes]
) -> Callable[[], object]:
    pairs = list(zip(decoders, written, strict=True))
    return lambda: [decoder.decode(body) for decoder, body in pairs]


def time_tasks(tasks: Sequence[Task], rounds: int, sample_s: float) -> list[Timed]:
    """Every step of every task, timed in each round for at least so long."""
    numbers = [
        {name: _repeats(call, sample_s) for name, (call, _) in task.steps.items()} for task in tasks
    ]
    rates: list[dict[str, list[float]]] = [{name: [] for name in task.steps} for task in tasks]
    for _ in range(rounds):
        for task, number, rate in zip(tasks, numbers, rates, strict=True):
            gc.collect()
            for name, (call, _) in task.steps.items():
                rate[name].append(number[name] / _seconds(call, number[name]))
    each = zip(tasks, rates, strict=True)
    return [timed for task, rate in each for timed in summary(task, rate)]


def _repeats(call: Callable[[], object], sample_s: float) -> int:
    """How often the call fits into so many seconds, after one that fills its caches."""
    call()
    number = 1
    while (took_s := _seconds(call, number)) < sample_s:
        number = max(2 * number, int(number * sample_s / max(took_s, 1e-6)))
    return number


def _seconds(call: Callable[[], object], number: int) -> float:
    began = process_time()
    for _ in range(number):
        call()
    return process_time() - began


def summary(task: Task, rates: dict[str, list[float]]) -> list[Timed]:
    """What the rounds come to; rates: messages a second by step, one for each round."""
    return [
        Timed(
            task.system,
            task.name,
            step,
            task.message_bytes,
            task.canonical_bytes,
            per_s=_spread(rates[step], 1),
            mb_per_s=round(median(rates[step]) * size / 1e6, 1),
            of_yardstick=_spread(
                [mine / theirs for mine, theirs in zip(rates[step], rates[YARDSTICK], strict=True)],
                4,
            ),
        )
        for step, (_, size) in task.steps.items()
    ]


def _spread(values: Sequence[float], digits: int) -> Ratio:
    middle, lowest, highest = median(values), min(values), max(values)
    return Ratio(round(middle, digits), round(lowest, digits), round(highest, digits))


def show_timings(found: Timings, console: Console) -> None:
    """The timings for people."""
    console.print(f"{found.machine}, commit {found.commit}")
    table = Table(box=None, pad_edge=False)
    for title in ("driver", "message", "step"):
        table.add_column(title)
    for title in ("bytes", "canonical", "a second", "from", "to", "MB/s", "of msgspec", "from"):
        table.add_column(title, justify="right")
    table.add_column("to", justify="right")
    for each in found.timed:
        rate, ratio = each.per_s, each.of_yardstick
        table.add_row(
            *(each.system, each.name, each.step),
            *(f"{each.message_bytes:,}", f"{each.canonical_bytes:,}"),
            *(f"{value:,.0f}" for value in (rate.middle, rate.lowest, rate.highest)),
            f"{each.mb_per_s:,.1f}",
            *(f"{value:.3f}" for value in (ratio.middle, ratio.lowest, ratio.highest)),
        )
    console.print(table)
    console.print(
        f"Medians of {found.rounds} rounds, by processor time. of msgspec: against msgspec decoding"
        " the canonical JSON of the same message. bytes: of the message, or of the request's body."
    )


def tables(found: Timings) -> tuple[str, ...]:
    """The timings as Markdown for `results/README.md`: of messages, of operations, of files."""
    tasks: dict[tuple[str, str], dict[str, Timed]] = {}
    for each in found.timed:
        tasks.setdefault((each.system, each.name), {})[each.step] = each
    messages = [
        (task["decode"], task["translate"], task["encode"], task["all three"])
        for task in tasks.values()
        if "all three" in task
    ]
    return (
        _markdown(
            "Driver|Message|bytes|canonical|decode|translate|encode|all three, from, to|MB/s"
            "|of msgspec, from, to",
            [
                (*_about(whole), *(f"{step.per_s.middle:,.0f}/s" for step in steps), *_rates(whole))
                for *steps, whole in messages
            ],
        ),
        *(
            _markdown(
                f"Driver|{what}|{size}|canonical|{called}, from, to|MB/s|of msgspec, from, to",
                [(*_about(t[step]), *_rates(t[step])) for t in tasks.values() if step in t],
            )
            for what, size, called, step in (
                ("Operation", "body", "look and create", "request"),
                ("File", "bytes", "write", "write"),
            )
        ),
    )


def _about(each: Timed) -> tuple[str, ...]:
    return each.system, f"`{each.name}`", f"{each.message_bytes:,}", f"{each.canonical_bytes:,}"


def _rates(each: Timed) -> tuple[str, ...]:
    rate, ratio = each.per_s, each.of_yardstick
    return (
        f"{rate.middle:,.0f}/s, {rate.lowest:,.0f}, {rate.highest:,.0f}",
        f"{each.mb_per_s:,.1f}",
        f"{ratio.middle:.3f}, {ratio.lowest:.3f}, {ratio.highest:.3f}",
    )


def _markdown(head: str, rows: Sequence[tuple[str, ...]]) -> str:
    titles = head.split("|")
    lines = (f"| {' | '.join(line)} |" for line in (titles, *rows))
    first = next(lines)
    return "\n".join((first, f"|{'---|' * len(titles)}", *lines))
