"""Values that a published JSON Schema describes, for Hypothesis.

Types whose values obey more than a schema can say come from their own strategies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from hypothesis import strategies as st

from canonical.effectivity import LotEffectivity
from tests.strategies import (
    date_effectivities,
    item_units,
    money,
    quantities,
    ratios,
    revisions,
    serial_effectivities,
    unit_prices,
)

Schema = Mapping[str, Any]

_OWN: Mapping[str, Callable[[], st.SearchStrategy[Any]]] = {
    "ItemUnit": item_units,
    "Money": money,
    "Quantity": quantities,
    "Ratio": ratios,
    "Revision": revisions,
    "UnitPrice": unit_prices,
    "DateEffectivity": date_effectivities,
    "SerialEffectivity": serial_effectivities,
    "LotEffectivity": lambda: serial_effectivities().map(lambda s: LotEffectivity(s.start, s.end)),
}
_TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20)
_FORMATS: Mapping[str, st.SearchStrategy[str]] = {
    "date": st.dates().map(lambda day: day.isoformat()),
    "date-time": st.datetimes().map(lambda at: f"{at.isoformat()}Z"),
    "decimal": st.integers(-(10**9), 10**9).map(str),
}


def described_by(root: Schema, schema: Schema | None = None) -> st.SearchStrategy[Any]:
    """JSON values that the schema describes; optional fields come and go."""
    schema = root if schema is None else schema
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        if name in _OWN:
            return _OWN[name]().map(_as_json)
        return st.deferred(lambda: described_by(root, root["$defs"][name]))
    if "anyOf" in schema:
        return st.one_of([described_by(root, alternative) for alternative in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema.get("type"):
        case "object":
            return _objects(root, schema)
        case "array":
            return st.lists(described_by(root, schema["items"]), max_size=3)
        case "string":
            return _FORMATS.get(schema.get("format", ""), _TEXTS)
        case "integer":
            return st.integers(schema.get("minimum", -(2**63)), schema.get("maximum", 2**63 - 1))
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
        case other:
            raise TypeError(f"a schema of another kind, {other}: {schema}")


def _objects(root: Schema, schema: Schema) -> st.SearchStrategy[dict[str, Any]]:
    if isinstance(values := schema.get("additionalProperties"), Mapping):
        return st.dictionaries(_TEXTS, described_by(root, values), max_size=3)
    fields = {name: described_by(root, field) for name, field in schema["properties"].items()}
    required = set(schema.get("required", ()))
    return st.fixed_dictionaries(
        {name: field for name, field in fields.items() if name in required},
        optional={name: field for name, field in fields.items() if name not in required},
    )


def _as_json(value: object) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))
