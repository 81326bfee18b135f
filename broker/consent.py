"""Plans made anew, for a fact or a time, by other code or rules than the ledger's last one: where
they would change what stands in it, they wait until a person agrees.

What is stated anew is planned by whoever plans now: its source wants something else. The case about
it ends with a person's consent, with a newer plan, and with the planner of before.
"""

from __future__ import annotations

from collections.abc import Sequence

from broker.planner import Planner
from broker.store.casebook import Case
from broker.store.ledgers import Ledger
from canonical.effects import parts_of_identity
from canonical.errors import Rejected

CODE = "planned-otherwise"
# So many are named in the case; `layshaft plan` shows all of them.
NAMED = 10


def case_of(ledger: Ledger, planner: Planner, cells: Sequence[str]) -> Case:
    """The case about what the plan would change. cells: identities of steps."""
    number = ledger.key.partition("/")[2] or ledger.key
    rest = f" and {len(cells) - NAMED} more" if len(cells) > NAMED else ""
    names = ", ".join(_name(identity) for identity in cells[:NAMED])
    what = "other code" if planner.code != ledger.planner.partition("/")[0] else "other rules"
    many = "1 step" if len(cells) == 1 else f"{len(cells)} steps"
    return Case(
        code=CODE,
        word="configuration",
        what=f"Planned by {what} than before, {number} would change {many} that it has:"
        f" {names}{rest}",
        place=place_of(ledger.key),
        remedy=f"See all of it: layshaft plan {number}. If that is wanted:"
        f' layshaft change replan {number} --reason "...". Else go back to the version or the rules'
        f" of before; until then {number} goes on as it was planned ({ledger.planner})",
        owner="operations",
        key=ledger.key,
        ledger_key=ledger.key,
    )


def needed(ledger_key: str) -> Rejected:
    """Trying again is no consent: it names nothing that would be agreed to."""
    number = ledger_key.partition("/")[2] or ledger_key
    return Rejected(
        "consent-needed",
        f"{number} would be planned otherwise than it is",
        where=place_of(ledger_key),
        remedy=f"See what that changes: layshaft plan {number}."
        f' If it is wanted: layshaft change replan {number} --reason "..."',
        owner="operations",
    )


def place_of(ledger_key: str) -> str:
    """Where the case of a ledger says that it is."""
    return f"{ledger_key}: its plan"


def _name(identity: str) -> str:
    parts = parts_of_identity(identity)
    plant = f" of plant {parts.plant}" if parts.plant else ""
    return f"{parts.verb} {parts.object_kind} {parts.object_id}{plant} at {parts.system}"
