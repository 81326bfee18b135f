"""The command tree, and the one place where a command's end becomes an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from cyclopts import App, CycloptsError, Parameter

from canonical.errors import Failure
from ops.cli.problems import Exit, Problem, bug, problem_of


def _version() -> str:
    try:
        return f"layshaft {version('layshaft')}"
    except PackageNotFoundError:
        return "layshaft, run from its source without being installed"


app = App(
    name="layshaft",
    help="Carries business events between PLM, ERP and procurement.",
    version=_version,
    help_format="plaintext",
    default_parameter=Parameter(negative=(), show_default=False),
    # Exit codes and error texts are ours, see `run`.
    exit_on_error=False,
    print_error=False,
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)

_DOCTOR = """Check servers, schema, topology and systems.

Nothing is changed. Exit code 0: all well; 1: findings; 3: a server is away."""

_PLAN = """Show what a change would lead to, step by step, with nothing executed."""

_PACKAGE = "Put, list and get what is too large for a message; make a package for a supplier."

_SCHEMA = "Publish contracts, and see that nobody is broken: export, check, diff, use."

_MAP = "See what a vendor's message comes to, and keep it so: dry-run, record, diff, accept."

_TABLE = "Write what is known as CSV or JSON, by the table of an integrator: write."

_CHANGE = (
    "See where changes stand, and steer them: list, show, pause, resume, skip, restart, cancel."
)

_HOLD = (
    "Stop what is written to a system, for a plant or of a flow; or list such holds.\n\n"
    "Messages come in and are planned as ever. Calls under way end, and calls that only read go"
    " on; everything else waits, in its order, for `layshaft release`."
)

_CONNECTOR = (
    "See how systems are called, and steer it: list, show, test, pause, resume, outage,"
    " outage-over."
)

_REPLAY = "Take messages down the path once more: plan, shadow, start, list, show, pause, cancel."

_SANDBOX = "Run a real system of a vendor to try things out: tryton."

_TOKEN = "Say who may do what, by tokens: create, list, revoke, disable, enable."

# By name, imported when used: `change list` needs neither AMQP nor HTTP libraries.
for _order, (_name, _place, _help) in enumerate(
    (
        ("demo", "ops.cli.service:show_demo", "Show one engineering change on its way."),
        ("run", "ops.cli.service:run_service", "Run the service."),
        ("migrate", "ops.cli.service:migrate_database", "Bring the database up to date."),
        ("doctor", "ops.cli.doctor:run_checks", _DOCTOR),
        ("publish", "ops.cli.publish:publish_file", "Send a file as a source system would."),
        ("package", "ops.cli.package:app", _PACKAGE),
        ("plan", "ops.cli.plan:show_plan", _PLAN),
        ("ownership", "ops.cli.ownership:show_ownership", "See who owns which values."),
        ("change", "ops.cli.change:app", _CHANGE),
        ("task", "ops.cli.task:app", "Decide what only a person can: list, show, approve, reject."),
        ("case", "ops.cli.case:app", "Settle what went wrong: list, show, retry, close."),
        ("hold", "ops.cli.hold:hold", _HOLD),
        ("release", "ops.cli.hold:release", "Let what a hold has stopped go on, in its order."),
        ("connector", "ops.cli.connector:app", _CONNECTOR),
        ("replay", "ops.cli.replay:app", _REPLAY),
        ("map", "ops.cli.map:app", _MAP),
        ("table", "ops.cli.table:app", _TABLE),
        ("idoc", "ops.cli.idoc:app", "Write what is known as IDocs of SAP: write, audit."),
        ("messages", "ops.cli.messages:app", "Make test files of what came in, masked: export."),
        ("schema", "ops.cli.schema:app", _SCHEMA),
        ("handler", "ops.cli.handler:app", "Begin a driver for another vendor: new."),
        ("sandbox", "ops.cli.sandbox:app", _SANDBOX),
        ("topology", "ops.cli.topology:app", "Split a busy event over queues: partitions, show."),
        ("token", "ops.cli.token:app", _TOKEN),
        ("trace", "ops.cli.trace:show_trace", "See the path of everything that touched a thing."),
    )
):
    app.command(_place, name=_name, help=_help, sort_key=_order)


def run(arguments: Sequence[str]) -> int:
    """The command has run; its exit code. Nothing is raised, no traceback is shown."""
    try:
        result = app(list(arguments))
        sys.stdout.flush()
        return result if isinstance(result, int) else Exit.DONE
    except BrokenPipeError:
        # The reader had enough (`| head`); what Python flushes at its end has to go somewhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.DONE
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except CycloptsError as error:
        problem = _usage(error, arguments)
    except Problem as found:
        problem = found
    except Failure as failure:
        problem = problem_of(failure)
    except Exception as error:
        problem = bug(error, os.environ)
    sys.stdout.flush()
    sys.stderr.write(f"{problem.text()}\n")
    return problem.exit_code


def _usage(error: CycloptsError, arguments: Sequence[str]) -> Problem:
    command = " ".join(error.command_chain or ())
    name = f"layshaft {command}".strip()
    return Problem(
        Exit.USAGE,
        "usage",
        str(error),
        why=f"you typed: layshaft {' '.join(arguments)}",
        fix=f"See: {name} --help",
    )
