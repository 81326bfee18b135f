"""Which fields reach what, as a page: fields that are repeated are one line."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from os.path import commonprefix

from ops.cli.output import Column, Screen, plural
from ops.mapping.lineage import Lineage, Trace

_EXAMPLE_CHARS = 60


def show_lineage(page: Screen, lineage: Lineage) -> None:
    """Where fields go, which go nowhere, and what was left out."""
    fields: dict[str, list[Trace]] = defaultdict(list)
    for trace in lineage.traces:
        fields[trace.field].append(trace)
    root = _root(fields)
    together = {trace.field: trace for trace in lineage.together}
    page.line()
    below = f" (fields below {root.rstrip('/.')})" if root else ""
    page.line(f"Where fields go{below}: how many of each, changed alone", style="bold")
    _show_fields(
        page,
        [
            (name.removeprefix(root), _of(traces), _reached(traces))
            for name, traces in fields.items()
            if any(trace.fate != "unread" for trace in traces)
        ],
    )
    if together:
        page.line()
        page.line("Only where all of a field are changed at once", style="bold")
        rows = [(n, f"{len(fields[n])}", _reached([trace])) for n, trace in together.items()]
        _show_fields(page, [(name.removeprefix(root), of, text) for name, of, text in rows])
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
            (name.removeprefix(root), f"{len(traces)}/{len(fields[name])}", _examples(traces))
            for name, traces in unread.items()
            if traces
        ],
    )


def _show_fields(page: Screen, rows: Sequence[tuple[str, str, str]]) -> None:
    """Fields below the name of what they stand in, which may be long."""
    groups: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for name, of, text in rows:
        cut = max(name.rfind("/"), name.rfind(".")) + 1
        groups[name[:cut]].append((name[cut:], of, text))
    width = max((len(row[0]) for group in groups.values() for row in group), default=0)
    of_width = max((len(row[1]) for row in rows), default=0)
    columns = [Column(""), Column(""), Column("", is_text=True)]
    for parent, group in groups.items():
        if parent:
            page.line(f"  {parent}")
        page.table(
            columns,
            [(f"    {leaf:<{width}}", f"{of:>{of_width}}", text) for leaf, of, text in group],
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


def _reached(traces: Sequence[Trace]) -> str:
    """What the traces of one field reach, by event; then why other values were refused."""
    by_kind: dict[str, dict[str, None]] = defaultdict(dict)
    codes: dict[str, None] = {}
    for trace in traces:
        for target in trace.targets:
            by_kind[target.kind][target.field] = None
        if trace.fate == "refused":
            codes[trace.code] = None
    told = [f"{kind} {', '.join(names)}" for kind, names in by_kind.items()]
    if codes:
        told.append(f"refused otherwise ({', '.join(codes)})")
    return "; ".join(told)


def _root(names: Iterable[str]) -> str:
    """What all fields begin with, up to a separator."""
    shared = commonprefix(list(names))  # noqa: RUF071 - cut at a separator below
    return shared[: max(shared.rfind("/"), shared.rfind(".")) + 1]
