"""Reviews of suppliers that another system holds for a change, and by what they are found there."""

from __future__ import annotations

_OURS = "layshaft:"


def review_reference(change: str, supplier: str) -> str:
    """What the review of the supplier for the change is found by where it is held."""
    return f"{_OURS}{change}:{supplier}"


def asked_for(reference: str) -> tuple[str, str] | None:
    """Change and supplier of such a reference; None for one of somebody else's."""
    change, colon, supplier = reference.removeprefix(_OURS).rpartition(":")
    if not reference.startswith(_OURS) or not colon or not change or not supplier:
        return None
    return change, supplier


def review_key(change: str, supplier: str) -> str:
    """Key of the review as a business object, and of the ledger of its end."""
    return f"supplier-review/{change}:{supplier}"
