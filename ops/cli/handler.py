"""`layshaft handler`: drivers for the people who write them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from ops.cli.output import screen, talk
from ops.cli.problems import Exit
from ops.contracts.files import ROOT
from ops.scaffold.driver import TABLE, TESTS, scaffold, write

app = App(name="handler", help="Begin a driver for another vendor: new.")


@app.command(name="new")
def new_driver(
    vendor: str,
    /,
    *,
    out: Annotated[
        bool, Parameter(negative="", help="It writes suppliers to the vendor, too.")
    ] = False,
    root: Annotated[Path, Parameter(help="The checkout; the one it runs from.")] = ROOT,
) -> int:
    """Write a driver that takes suppliers as JSON, with a message, its golden and a test.

    Its test is green at once, and the rows of handlers/__init__.py are there. What is left to do by
    hand is said at the end. Nothing that exists is replaced. See docs/your-first-driver.md.

    Parameters
    ----------
    vendor
        Lower-case letters, digits and underscores, e.g. acme.
    """
    made = scaffold(root, vendor, out=out)
    write(root, made)
    for path in made.files:
        screen().line(f"{'changed' if path == TABLE else 'written'}: {path}")
    for step in made.by_hand:
        screen().line(f"by hand: {step.file}, in {step.where}:")
        screen().line(step.lines)
    tests = f"{TESTS}/test_{vendor}{'*' if out else ''}.py"
    talk(f"Then: pytest {tests}, layshaft schema export, and a line in CHANGELOG.md")
    return Exit.DONE
