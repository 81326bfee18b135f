"""Steps as the views give them, for what is drawn of them."""

from __future__ import annotations

from datetime import UTC, datetime

from broker.store.views import StepRow

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def step(
    number: int,
    plant: str = "1010",
    system: str = "erp",
    kind: str = "item",
    name: str = "",
    *,
    verb: str = "put-item",
    state: str = "waiting",
    generation: int = 1,
    after: tuple[str, ...] = (),
) -> StepRow:
    """A step with that id; after: identities that it waits for."""
    return StepRow(
        id=number,
        identity=f"{plant}|{system}|{kind}|{name or f'N-{number}'}|{verb}",
        generation=generation,
        kind="call",
        plant=plant,
        system=system,
        object_kind=kind,
        object_id=name or f"N-{number}",
        operation=verb,
        state=state,
        owner="master data",
        lane="standard",
        reason="",
        reference="",
        attempts=0,
        depends_on=after,
        fact="",
        asks="",
        next_at=AT,
        due_at=AT,
        changed_at=AT,
    )
