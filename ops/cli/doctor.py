"""`layshaft doctor`: whether everything is as it has to be, and what to do where it is not."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from canonical.errors import Misconfigured
from handlers import CATALOGUE
from ops.cli.checks import Check, decoder, examine
from ops.cli.output import Column, plural, put_json, screen
from ops.cli.problems import Exit
from ops.cli.session import Reading, configuration, locate
from ops.tables import catalogue_of, refuse_unhandled


def run_checks(*, reading: Reading = Reading()) -> Exit:  # noqa: B008 - frozen
    """Every check is made and shown; the worst one decides on the exit code."""
    place = locate(reading.config, os.environ)
    try:
        settings = configuration(reading)
        refuse_unhandled(settings, catalogue_of(settings, CATALOGUE))
    except Misconfigured as failure:
        what = f"{failure.where}: {failure.what}"
        checks = [Check("problem", failure.code, what, failure.remedy), decoder()]
    else:
        tables = f", with {plural(len(settings.tables), 'table')}" if settings.tables else ""
        readable = Check("ok", "configuration", f"{place} is readable{tables}")
        checks = [readable, *asyncio.run(examine(settings, os.environ))]
    if reading.is_json:
        put_json(checks)
    else:
        _print(checks)
    return verdict(checks)


def verdict(checks: Sequence[Check]) -> Exit:
    """The exit code; a warning is a finding."""
    states = {check.state for check in checks}
    if "unreachable" in states:
        return Exit.UNREACHABLE
    return Exit.FINDINGS if states - {"ok"} else Exit.DONE


def _print(checks: Sequence[Check]) -> None:
    page = screen()
    page.table(
        [Column("state"), Column("code"), Column("what", is_text=True), Column("do", is_text=True)],
        [(c.state, c.code if c.state == "ok" else f"LAY-{c.code}", c.what, c.fix) for c in checks],
    )
    findings = sum(c.state != "ok" for c in checks)
    page.line()
    page.line(
        f"{len(checks)} checks, {findings} to look at."
        if findings
        else f"{len(checks)} checks, all well."
    )
