"""The matrix that `layshaft ownership` shows."""

from __future__ import annotations

from canonical.ownership import ENTITIES, Ownership
from ops.cli.ownership import Place, matrix


def test_every_group_is_shown_and_the_states_in_which_another_one_owns_it() -> None:
    rows = (
        Ownership("contract", "suite"),
        Ownership("contract", "erp", "releases", also=("erp-2",)),
        Ownership("contract", "erp", "terms", "ended"),
    )
    terms, ended, *others = matrix(rows, ENTITIES["contract"])
    assert (terms.group, terms.state, terms.owner) == ("terms", "*", "suite")
    assert (ended.group, ended.state, ended.owner) == ("terms", "ended", "erp")
    assert [(each.group, each.state, each.owner) for each in others] == [
        ("validity", "*", "suite"),
        ("status", "*", "suite"),
        ("releases", "*", "erp"),
    ]
    assert others[-1].also == ("erp-2",)


def test_what_nobody_owns_is_shown_too() -> None:
    assert list(matrix((), ENTITIES["source-list"])) == [
        Place("source-list", "sources", "*", "", (), ("sources", "source_id"))
    ]
