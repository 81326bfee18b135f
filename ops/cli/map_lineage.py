"""Which fields reach what, as a page: fields that are repeated are one line, and what they reach in
requests stands in a column of its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from os.path import commonprefix

from ops.cli.output import Column, Screen, plural
from ops.mapping.entries import REQUEST
from ops.mapping.lineage import Lineage, Target, Trace
from ops.mapping.requests import step_words

_EXAMPLE_CHARS = 60
# What a request writes is named as the target calls it.
_WRITTEN = "write.body."

# A field, how many of it were tried, and what they reach: in events, and in requests.
_Row = tuple[str, str, str, str]


def show_lineage(page: Screen, lineage: Lineage) -> None:
    """Where fields go, which go nowhere, and what was left out."""
    fields: dict[str, list[Trace]] = defaultdict(list)
    for trace in lineage.traces:
        fields[trace.field].append(trace)
    root = _root(fields)
    together = {trace.field: trace for trace in lineage.together}
    everywhere = {trace.field: trace for trace in lineage.everywhere}
    page.line()
    below = f" (fields below {root.rstrip('/.')})" if root else ""
    page.line(f"Where fields go{below}: how many of each, changed alone", style="bold")
    _show_fields(
        page,
        [
            (name.removeprefix(root), _of(traces), *_reached(traces))
            for name, traces in fields.items()
            if any(trace.fate != "unread" for trace in traces)
        ],
    )
    for title, traces in (
        ("Only where all of a field are changed at once", together),
        ("Only where a value is changed wherever it stands", everywhere),
    ):
        if traces:
            page.line()
            page.line(title, style="bold")
            _show_fields(
                page,
                [
                    (name.removeprefix(root), f"{len(fields[name])}", *_reached([trace]))
                    for name, trace in traces.items()
                ],
            )
    _show_unread(page, {n: found for n, found in fields.items() if n not in together}, root)
    _show_left_out(page, lineage)


def _show_unread(page: Screen, fields: dict[str, list[Trace]], root: str) -> None:
    unread = {
        name: [trace for trace in traces if trace.fate == "unread"]
        for name, traces in fields.items()
    }
    page.line()
    page.line("Read by nobody: another value, or none, makes no difference", style="bold")
    if not any(unread.values()):
        page.line("  none of those that were tried")
    _show_fields(
        page,
        [
            (name.removeprefix(root), f"{len(traces)}/{len(fields[name])}", _examples(traces), "")
            for name, traces in unread.items()
            if traces
        ],
    )


def _show_fields(page: Screen, rows: Sequence[_Row]) -> None:
    """Fields below the name of what they stand in, which may be long."""
    groups: dict[str, list[_Row]] = defaultdict(list)
    for name, of, text, asked in rows:
        cut = max(name.rfind("/"), name.rfind(".")) + 1
        groups[name[:cut]].append((name[cut:], of, text, asked))
    width = max((len(row[0]) for group in groups.values() for row in group), default=0)
    of_width = max((len(row[1]) for row in rows), default=0)
    columns = [Column(""), Column(""), Column("", is_text=True), Column("", is_text=True)]
    for parent, group in groups.items():
        if parent:
            page.line(f"  {parent}")
        page.table(
            columns,
            [
                (f"    {leaf:<{width}}", f"{of:>{of_width}}", text, asked)
                for leaf, of, text, asked in group
            ],
        )


def _examples(traces: Sequence[Trace]) -> str:
    return ", ".join(dict.fromkeys(trace.value[:_EXAMPLE_CHARS] for trace in traces[:4]))


def _show_left_out(page: Screen, lineage: Lineage) -> None:
    page.line()
    page.line(
        f"{plural(len(lineage.traces), 'value')} tried. A field that counts only where another one"
        " is missing makes no difference alone."
    )
    if lineage.untried:
        page.line(
            f"Time was up: {plural(len(lineage.untried), 'value')} not tried, repetitions of"
            " fields last. --seconds gives more."
        )
    if lineage.unknown:
        page.line(f"Of these fields none was tried: {', '.join(lineage.unknown)}.")
    if lineage.empty:
        page.line(f"{plural(lineage.empty, 'value')} not tried, being empty.")
    if lineage.digests:
        names = ", ".join(sorted({f"{t.kind} {t.field}" for t in lineage.digests}))
        page.line(f"Left out, as any byte changes it: {names}.")


def _of(traces: Sequence[Trace]) -> str:
    return f"{sum(trace.fate != 'unread' for trace in traces)}/{len(traces)}"


def _reached(traces: Sequence[Trace]) -> tuple[str, str]:
    """What the traces of one field reach, by event, then why other values were refused; and what
    they reach in requests, by step."""
    by_kind: dict[str, dict[str, None]] = defaultdict(dict)
    by_step: dict[str, dict[str, None]] = defaultdict(dict)
    codes: dict[str, None] = {}
    for trace in traces:
        for target in trace.targets:
            if target.kind == REQUEST:
                by_step[step_words(target.about)][_of_request(target)] = None
            else:
                by_kind[target.kind][target.field] = None
        if trace.fate == "refused":
            codes[trace.code] = None
    told = _by_name(by_kind)
    if codes:
        told.append(f"refused otherwise ({', '.join(codes)})")
    asked = "; ".join(_by_name(by_step))
    return "; ".join(told), f"-> {asked}" if asked else ""


def _by_name(fields: dict[str, dict[str, None]]) -> list[str]:
    return [f"{name} {', '.join(reached)}" for name, reached in fields.items()]


def _of_request(target: Target) -> str:
    return target.field.removeprefix(_WRITTEN)


def _root(names: Iterable[str]) -> str:
    """What all fields begin with, up to a separator."""
    shared = commonprefix(list(names))  # noqa: RUF071 - cut at a separator below
    return shared[: max(shared.rfind("/"), shared.rfind(".")) + 1]
