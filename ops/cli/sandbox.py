"""`layshaft sandbox`: systems of vendors that anybody may run, for trying things out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from ops.cli.output import screen, talk
from ops.cli.problems import Exit, Problem

app = App(name="sandbox", help="Run a real system of a vendor to try things out: tryton.")


@app.command(name="tryton")
def run_tryton(
    *,
    fresh: Annotated[bool, Parameter(negative="")] = False,
    stop: Annotated[bool, Parameter(negative="")] = False,
    remove: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Start a real Tryton, an ERP, with a database and a company; it runs until it is stopped.

    Shown is what a system in a configuration has to say.

    The first time it is installed from its packages and its database is made, which takes two to
    four minutes; later a few seconds. Where it runs already, nothing is started. Everything is in
    the folder `tryton` of LAYSHAFT_STATE_DIR (.layshaft), and listens on loopback only.

    Parameters
    ----------
    fresh
        Begin with nothing but the company, whatever was written before.
    stop
        End it; what was written stays.
    remove
        End it and remove all of it.
    """
    # Imported here: the service never needs the server stack.
    from ops.sandbox.tryton import Sandbox
    from ops.stack import StackUnavailable

    sandbox = Sandbox(Path(os.environ.get("LAYSHAFT_STATE_DIR", ".layshaft")) / "tryton")
    try:
        if remove:
            sandbox.remove()
            return Exit.DONE
        if stop:
            sandbox.stop()
            return Exit.DONE
        talk("Tryton is installed and its database made where that was not done yet ...")
        running = sandbox.start(is_fresh=fresh)
    except StackUnavailable as error:
        what, _, why = str(error).partition("\n")
        raise Problem(
            Exit.UNREACHABLE,
            "sandbox-unavailable",
            what,
            why=why or "it cannot be had on this machine now",
            fix="Look into the log that is named, and run it again",
        ) from error
    screen().fields(
        (
            ("driver", "tryton"),
            ("base_url", running.url),
            ("auth", "tryton"),
            ("user", running.user),
            ("secret", f"file:{sandbox.password_file}"),
        )
    )
    return Exit.DONE
