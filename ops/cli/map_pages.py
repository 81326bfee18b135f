"""What `layshaft map dry-run` shows, as a page for people and as data."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from canonical.effects import Emit, Open, Plan, Step
from canonical.errors import Failure
from canonical.events import EVENTS
from canonical.exchange import Request
from canonical.operations import verb
from ops.cli.map_content import readable
from ops.cli.map_lineage import show_lineage
from ops.cli.output import Column, Screen, plural
from ops.mapping.consequences import Consequences
from ops.mapping.entries import plain
from ops.mapping.lineage import Lineage
from ops.mapping.requests import Call
from ops.mapping.translation import Translation

# What a request asks for is left out of its line beyond this length.
_REQUEST_CHARS = 90
# Of objects that are alike, so many are named.
_MENTIONED = 3


class Said(msgspec.Struct, frozen=True):
    """A file and what it comes to; lineage: a text says why there is none."""

    file: str
    translation: Translation
    lineage: Lineage | str | None = None


# --- data ---


def as_data(said: Sequence[Said], rules: str, found: Consequences) -> dict[str, Any]:
    """Everything, field names being an interface. rules: the file that has them, "" without."""
    return {
        "files": [_said_data(row) for row in said],
        "rules": rules,
        "plans": found.plans,
        "calls": [_call_data(call) for call in found.calls],
        "cases": found.cases,
        "failures": [_failure_data(failure) for failure in found.failures],
    }


def _said_data(row: Said) -> dict[str, Any]:
    found = row.translation
    envelope = found.message.envelope if found.message else None
    return {
        "file": row.file,
        "contract": envelope.type if envelope else "",
        "id": envelope.id if envelope else "",
        "key": envelope.key if envelope else "",
        "events": [
            {"event": e.event, "key": e.key, "lane": _lane(e), "data": e.data} for e in found.events
        ],
        "cases": found.cases,
        "ignored": {"counted": found.counted, "paths": found.ignored},
        "deviations": found.deviations,
        "refused": _failure_data(found.failure) if found.failure else None,
        "lineage": row.lineage,
    }


def _call_data(call: Call) -> dict[str, Any]:
    return {
        "step": call.step,
        "driver": call.driver,
        "observe": _request_data(call.observe),
        "write": _request_data(call.write),
        "refused": _failure_data(call.failure) if call.failure else None,
    }


def _request_data(request: Request | None) -> dict[str, Any] | None:
    if request is None:
        return None
    # Bytes would become base64.
    return {
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "headers": request.headers,
        "body": _body_text(request),
    }


def _failure_data(failure: Failure) -> dict[str, str]:
    names = ("code", "word", "what", "where", "remedy", "owner")
    return {name: getattr(failure, name) for name in names}


# --- dry run ---


def show(
    page: Screen, said: Sequence[Said], rules: str, found: Consequences, *, whole: bool
) -> None:
    """The files one after the other, then what follows from all of them.

    rules: the file that has them; "" without. whole: every request with its body, instead of one
    of each kind.
    """
    for row in said:
        if row.translation.failure is None:
            _show_file(page, row)
    _show_consequences(page, rules, found, whole=whole)


def _show_file(page: Screen, row: Said) -> None:
    found = row.translation
    assert found.message is not None
    envelope = found.message.envelope
    cases = f", {plural(len(found.cases), 'case')}" if found.cases else ""
    page.line(f"{row.file}: {plural(len(found.events), 'event')}{cases}", style="bold")
    page.fields(
        [
            ("read as", envelope.type),
            ("about", envelope.key),
            ("id", envelope.id),
        ]
    )
    for event in found.events:
        page.line()
        page.line(f"{event.event}  {event.key}  ({_lane(event)} lane)", style="bold")
        page.fields((f"  {path}", text) for path, text in readable(plain(event.data)))
    for case in found.cases:
        _show_case(page, case)
    _show_ignored(page, found)
    _show_deviations(page, found)
    if isinstance(row.lineage, str):
        page.line()
        page.line(f"No lineage: {row.lineage}.")
    elif row.lineage is not None:
        show_lineage(page, row.lineage)
    page.line()


def _show_ignored(page: Screen, found: Translation) -> None:
    if not (found.counted or found.ignored):
        return
    page.line()
    page.line(f"read by nobody: {in_words(found.counted)}", style="bold")
    for path in found.ignored:
        page.line(f"  {path}")


def _show_deviations(page: Screen, found: Translation) -> None:
    if not found.deviations:
        return
    page.line()
    page.line("not as it should be, and taken nevertheless:", style="bold")
    for deviation in found.deviations:
        page.line(f"  {deviation.where}: {deviation.what}")


def in_words(counted: Mapping[str, int]) -> str:
    """How much of a message nobody reads: 2 fields, 1 line by amount."""
    return ", ".join(f"{what}: {number}" for what, number in counted.items())


def _show_case(page: Screen, case: Open) -> None:
    page.line()
    page.line(f"case  {case.code}", style="bold")
    page.fields(
        [
            ("  what", case.what),
            ("  where", case.where),
            ("  do", case.remedy),
            ("  owner", case.owner),
        ]
    )


def _lane(event: Emit) -> str:
    return event.lane or EVENTS[event.event].lane


# --- consequences ---


def _show_consequences(page: Screen, rules: str, found: Consequences, *, whole: bool) -> None:
    if found.plans:
        page.line(f"By the rules of {rules}:")
    for plan in found.plans:
        _show_plan(page, plan)
    for case in found.cases:
        _show_case(page, case)
    for failure in found.failures:
        page.line(f"refused by a flow: {failure.what}  [LAY-{failure.code}]")
        page.fields([("  where", failure.where), ("  do", failure.remedy)])
    if found.calls:
        _show_calls(page, found.calls, has_rules=bool(rules), whole=whole)
    elif rules and not found.plans:
        page.line(f"By the rules of {rules} no flow plans anything of this: nothing is sent.")


def _show_plan(page: Screen, plan: Plan) -> None:
    alike: dict[tuple[str, str], list[Step]] = defaultdict(list)
    for step in plan.steps:
        alike[step.system, verb(step.operation)].append(step)
    page.line(f"plan  {plan.key}: {plural(len(plan.steps), 'step')}", style="bold")
    page.table(
        [
            Column("  system"),
            Column("step"),
            Column("times", is_number=True),
            Column("plants"),
            Column("of", is_text=True),
        ],
        [
            (
                f"  {system}",
                name,
                str(len(steps)),
                ", ".join(sorted({step.plant for step in steps if step.plant})),
                _some(step.object_id for step in steps),
            )
            for (system, name), steps in alike.items()
        ],
    )
    for finding in plan.findings:
        page.line(f"  {finding.severity}: {finding.what} ({finding.where}, {finding.owner})")
    page.line()


def _some(names: Iterable[str]) -> str:
    """The first ones, and how many there are besides."""
    different = list(dict.fromkeys(names))
    more = len(different) - _MENTIONED
    return ", ".join(different[:_MENTIONED]) + (f" and {more} more" if more > 0 else "")


def _show_calls(page: Screen, found: Sequence[Call], *, has_rules: bool, whole: bool) -> None:
    page.line("Requests: the read, and the write where the read finds nothing", style="bold")
    if not has_rules:
        page.line("  Without rules (--config) nobody knows which system holds what: this is what")
        page.line("  each driver would send if its system held it. The rest needs rules.")
    alike: dict[tuple[str, str], list[Call]] = defaultdict(list)
    for call in found:
        alike[call.step.system, verb(call.step.operation)].append(call)
    for calls in alike.values():
        failed = [call for call in calls if call.failure is not None]
        shown = calls if whole else (failed or calls[:1])
        for call in shown:
            _show_call(page, call, whole=whole)
        if len(calls) > len(shown):
            page.line(f"    and {len(calls) - len(shown)} more like it")
    if not whole:
        page.line("  --requests shows every one with its body.")


def _show_call(page: Screen, call: Call, *, whole: bool) -> None:
    step = call.step
    plant = f", plant {step.plant}" if step.plant else ""
    system = step.system if step.system == call.driver else f"{step.system} ({call.driver})"
    page.line(f"  {verb(step.operation)} {step.object_id} at {system}{plant}")
    for request in (call.observe, call.write):
        if request is None:
            continue
        page.line(f"    {_request_line(request, whole=whole)}")
        if whole and request.body:
            for line in _body_lines(request):
                page.line(f"      {line}")
    if call.failure is not None:
        page.line(f"    cannot be sent: {call.failure.what}  [LAY-{call.failure.code}]")


def _request_line(request: Request, *, whole: bool) -> str:
    query = "&".join(f"{name}={value}" for name, value in request.query)
    size = f", {len(request.body)} bytes" if request.body else ""
    line = f"{request.method:<4} {request.path}"
    is_short = len(line) + len(query) <= _REQUEST_CHARS
    return f"{line}?{query}" if query and (whole or is_short) else f"{line}{size}"


def _body_text(request: Request) -> str:
    return (request.body or b"").decode(errors="replace")


def _body_lines(request: Request) -> list[str]:
    try:
        return msgspec.json.format(request.body or b"", indent=2).decode().splitlines()
    except msgspec.MsgspecError:
        return _body_text(request).splitlines()
