"""Values that a published JSON Schema describes, for Hypothesis.

Types whose values obey more than a schema can say come from their own strategies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import msgspec
from hypothesis import strategies as st

from canonical.effectivity import LotEffectivity, SerialEffectivity
from tests.strategies import (
    date_effectivities,
    item_units,
    money,
    numbered_effectivities,
    quantities,
    ratios,
    revisions,
    unit_prices,
)

Schema = Mapping[str, Any]
Own = Mapping[str, Callable[[], st.SearchStrategy[Any]]]
Texts = Callable[[str], st.SearchStrategy[str]]
"""What stands where a schema says no more than that it is a text, by the name of the member."""

# Types of ours by their names; a vendor may call something else alike.
OURS: Own = {
    "ItemUnit": item_units,
    "Money": money,
    "Quantity": quantities,
    "Ratio": ratios,
    "Revision": revisions,
    "UnitPrice": unit_prices,
    "DateEffectivity": date_effectivities,
    "SerialEffectivity": lambda: numbered_effectivities(SerialEffectivity),
    "LotEffectivity": lambda: numbered_effectivities(LotEffectivity),
}
_CHARACTERS = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])
TEXTS = st.text(_CHARACTERS, max_size=20)
_FORMATS: Mapping[str, st.SearchStrategy[str]] = {
    "date": st.dates().map(lambda day: day.isoformat()),
    "date-time": st.datetimes().map(lambda at: f"{at.isoformat()}Z"),
    "decimal": st.integers(-(10**9), 10**9).map(str),
}
# What a schema may say without saying anything of the value.
_WORDS = frozenset({"default", "description", "title"})


def any_text(name: str) -> st.SearchStrategy[str]:
    """The same for every member."""
    return TEXTS


def described_by(
    root: Schema,
    schema: Schema | None = None,
    *,
    own: Own = OURS,
    texts: Texts = any_text,
    whole: bool = False,
    name: str = "",
) -> st.SearchStrategy[Any]:
    """JSON values that the schema describes; optional fields come and go.

    own: types whose values obey more than a schema can say. whole: every field is there, and null
    only where there is nothing else; for schemas that do not hold themselves. name: of the member
    that it is.
    """
    schema = root if schema is None else schema
    draw = partial(described_by, root, own=own, texts=texts, whole=whole)
    if "$ref" in schema:
        referred = str(schema["$ref"]).rpartition("/")[2]
        if referred in own:
            return own[referred]().map(_as_json)
        return st.deferred(lambda: draw(root["$defs"][referred], name=name))
    if "anyOf" in schema:
        some = [part for part in schema["anyOf"] if not (whole and part.get("type") == "null")]
        return st.one_of([draw(part, name=name) for part in some])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema.get("type"):
        case "object":
            return _objects(schema, draw, texts(name), whole=whole)
        case "array":
            return st.lists(draw(schema["items"], name=name), max_size=3)
        case "string":
            return _texts(schema, texts(name))
        case "integer":
            return st.integers(schema.get("minimum", -(2**63)), schema.get("maximum", 2**63 - 1))
        case "number":
            return st.floats(allow_nan=False, allow_infinity=False)
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
        case None if schema.keys() <= _WORDS:
            return _anything(texts(name))
        case other:
            raise TypeError(f"a schema of another kind, {other}: {schema}")


def _objects(
    schema: Schema,
    draw: Callable[..., st.SearchStrategy[Any]],
    texts: st.SearchStrategy[str],
    *,
    whole: bool,
) -> st.SearchStrategy[dict[str, Any]]:
    if isinstance(values := schema.get("additionalProperties"), Mapping):
        return st.dictionaries(texts, draw(values), max_size=3)
    if "properties" not in schema:
        return st.dictionaries(texts, _anything(texts), max_size=5)
    fields = {name: draw(field, name=name) for name, field in schema["properties"].items()}
    required = set(fields if whole else schema.get("required", ()))
    return st.fixed_dictionaries(
        {name: field for name, field in fields.items() if name in required},
        optional={name: field for name, field in fields.items() if name not in required},
    )


def _texts(schema: Schema, texts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    if "pattern" in schema:
        return st.from_regex(schema["pattern"], alphabet=_CHARACTERS)
    found = _FORMATS.get(schema.get("format", ""), texts)
    shortest = schema.get("minLength", 0)
    return found.filter(lambda text: len(text) >= shortest) if shortest else found


def _anything(texts: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    """A value of any kind, and not a large one."""
    numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    return st.none() | st.booleans() | numbers | texts


def _as_json(value: object) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))
