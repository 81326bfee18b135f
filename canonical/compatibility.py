"""Whether one version of a contract may follow another under the same name: pure, on JSON Schemas.

Judged separately for both sides, since a change may be harmless for one of them only:

- readers: who reads by the new schema meets what was written by the old one. It is in the log, in
  queues, and comes from those who have not changed yet.
- writers: what is written by the new schema meets readers that know the old one only.

Both ask the same question: does one schema accept everything that the other one describes? Fields
that a schema does not name are ignored, as the decoder does. What cannot be judged is a break.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

Schema = Mapping[str, Any]
Side = Literal["readers", "writers"]

_FROM_BELOW = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_FROM_ABOVE = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_FIXED = ("pattern", "format", "contentEncoding", "uniqueItems")
# Keywords that say nothing of what is accepted.
_WORDS = frozenset(
    {"$comment", "$defs", "$id", "$schema", "default", "deprecated", "description",
     "discriminator", "examples", "title"}
)  # fmt: skip
_JUDGED = frozenset(
    {"$ref", "additionalProperties", "anyOf", "const", "enum", "items", "prefixItems", "properties",
     "required", "type", *_FROM_BELOW, *_FROM_ABOVE, *_FIXED}
)  # fmt: skip


_TYPE_OF = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
    list: "array",
    dict: "object",
}


class Break(msgspec.Struct, frozen=True):
    """Why the new version must not have the name of the old one.

    side: who fails. path: the field, as `lines[].quantity`; "" is the whole. what: for people.
    """

    side: Side
    path: str
    what: str


def breaks(old: Schema, new: Schema) -> tuple[Break, ...]:
    """What somebody who relies on the old version would stumble over; empty where nobody does."""
    by_new = _Judge(by=new, of=old, names=("the new version", "the old one"))
    by_old = _Judge(by=old, of=new, names=("the old version", "the new one"))
    found = [Break("readers", path, what) for path, what in by_new.refusals()]
    found += [Break("writers", path, what) for path, what in by_old.refusals()]
    return tuple(dict.fromkeys(found))


class _Refusal(NamedTuple):
    path: str
    what: str


class _Judge:
    """Where the schema `by` does not accept what the schema `of` describes."""

    def __init__(self, *, by: Schema, of: Schema, names: tuple[str, str]) -> None:
        """names: what `by` and `of` are called."""
        self._by, self._of = by, of
        self._taker, self._giver = names
        # Types may hold themselves; what is being judged already is judged there.
        self._seen: set[tuple[str, str]] = set()

    def refusals(self) -> Iterator[_Refusal]:
        """Each with its place, in the order of the schema."""
        yield from self._of_pair(self._by, self._of, "")

    def _of_pair(self, by: Schema, of: Schema, path: str) -> Iterator[_Refusal]:
        pair = (str(by.get("$ref", "")), str(of.get("$ref", "")))
        if all(pair):
            if pair in self._seen:
                return
            self._seen.add(pair)
        by, of = _resolved(self._by, by), _resolved(self._of, of)
        alternatives = _alternatives(of)
        if len(alternatives) > 1 or "anyOf" in by:
            yield from self._of_alternatives(_alternatives(by), alternatives, path)
        else:
            yield from self._of_plain(by, of, path)

    def _of_alternatives(
        self, by: Sequence[Schema], of: Sequence[Schema], path: str
    ) -> Iterator[_Refusal]:
        """Each alternative has to be accepted by one of the others: its namesake if it has one, so
        that what is said is about the two that belong together."""
        for given in of:
            namesake = [taken for taken in by if self._are_namesakes(taken, given)]
            if len(namesake) == 1:
                yield from self._of_pair(namesake[0], given, path)
            elif not any(self._accepts(taken, given, path) for taken in by):
                name = self._name(self._of, given)
                yield _Refusal(path, f"{self._giver} may hold {name}, {self._taker} does not")

    def _accepts(self, by: Schema, of: Schema, path: str) -> bool:
        seen = set(self._seen)
        try:
            return next(self._of_pair(by, of, path), None) is None
        finally:
            # What was only tried is not judged.
            self._seen = seen

    def _are_namesakes(self, by: Schema, of: Schema) -> bool:
        return self._name(self._by, by) == self._name(self._of, of)

    @staticmethod
    def _name(root: Schema, schema: Schema) -> str:
        """What an alternative is known by: its tag, else its title, else its type."""
        whole = _resolved(root, schema)
        tags = [
            part["enum"][0]
            for part in whole.get("properties", {}).values()
            if len(part.get("enum", ())) == 1
        ]
        return str(tags[0] if tags else whole.get("title") or whole.get("type") or whole)

    def _of_plain(self, by: Schema, of: Schema, path: str) -> Iterator[_Refusal]:
        unknown = sorted((by.keys() | of.keys()) - _JUDGED - _WORDS)
        unknown = [word for word in unknown if not word.startswith("x-")]
        if any(by.get(word) != of.get(word) for word in unknown):
            yield _Refusal(path, f"{', '.join(unknown)} cannot be judged and differs")
        yield from self._of_types(by, of, path)
        yield from self._of_values(by, of, path)
        yield from self._of_bounds(by, of, path)
        yield from self._of_fields(by, of, path)
        yield from self._of_items(by, of, path)

    def _of_types(self, by: Schema, of: Schema, path: str) -> Iterator[_Refusal]:
        taken, given = _types(by), _types(of)
        if taken and not given:
            yield _Refusal(path, f"{self._giver} may hold anything, {self._taker} only {taken}")
        if taken and "number" in taken:
            taken |= {"integer"}
        for kind in sorted(given - taken) if taken else ():
            yield _Refusal(path, f"{self._giver} may hold {kind}, {self._taker} does not")

    def _of_values(self, by: Schema, of: Schema, path: str) -> Iterator[_Refusal]:
        taken, given = _values(by), _values(of)
        if taken is None:
            return
        if given is None:
            yield _Refusal(path, f"{self._giver} may hold any value, {self._taker} only some")
            return
        for value in (v for v in given if v not in taken):
            yield _Refusal(path, f"{self._giver} may hold {value!r}, {self._taker} does not")

    def _of_bounds(self, by: Schema, of: Schema, path: str) -> Iterator[_Refusal]:
        for word in _FROM_BELOW:
            if word in by and not (word in of and of[word] >= by[word]):
                yield _Refusal(
                    path, f"{self._taker} wants {word} {by[word]}, {self._giver} may not"
                )
        for word in _FROM_ABOVE:
            if word in by and not (word in of and of[word] <= by[word]):
                yield _Refusal(
                    path, f"{self._taker} wants {word} {by[word]}, {self._giver} may not"
                )
        for word in _FIXED:
            if word in by and by[word] != of.get(word):
                yield _Refusal(
                    path, f"{self._taker} wants {word} {by[word]}, {self._giver} may not"
                )

    def _of_fields(self, by: Schema, of: Schema, path: str) -> Iterator[_Refusal]:
        taken, given = by.get("properties", {}), of.get("properties", {})
        always = frozenset(of.get("required", ()))
        for name in by.get("required", ()):
            if name not in always:
                what = f"{self._giver} may leave it out, {self._taker} requires it"
                yield _Refusal(_below(path, name), what)
        for name in taken:
            if name in given:
                yield from self._of_pair(taken[name], given[name], _below(path, name))
                yield from self._of_absence(taken[name], given[name], _below(path, name))
        rest = by.get("additionalProperties", True)
        if rest is False:
            for name in given.keys() - taken.keys():
                what = f"{self._giver} may give it, {self._taker} refuses what it does not name"
                yield _Refusal(_below(path, name), what)
        elif isinstance(rest, Mapping):
            others = of.get("additionalProperties", True)
            others = others if isinstance(others, Mapping) else {}
            yield from self._of_pair(rest, others, _below(path, "*"))

    def _of_absence(self, by: Schema, of: Schema, path: str) -> Iterator[_Refusal]:
        """A field that may be left out has to mean the same then."""
        if "default" in by and "default" in of and by["default"] != of["default"]:
            meant, read = of["default"], by["default"]
            yield _Refusal(path, f"left out it means {meant!r}; to {self._taker} {read!r}")

    def _of_items(self, by: Schema, of: Schema, path: str) -> Iterator[_Refusal]:
        places_by, places_of = by.get("prefixItems", ()), of.get("prefixItems", ())
        for n, place in enumerate(places_by):
            given = places_of[n] if n < len(places_of) else of.get("items", {})
            yield from self._of_pair(
                place, given if isinstance(given, Mapping) else {}, f"{path}[{n}]"
            )
        rest = by.get("items")
        if isinstance(rest, Mapping):
            for n, given in enumerate(places_of[len(places_by) :], start=len(places_by)):
                yield from self._of_pair(rest, given, f"{path}[{n}]")
            others = of.get("items", {} if not places_of else False)
            if isinstance(others, Mapping):
                yield from self._of_pair(rest, others, f"{path}[]")


def _resolved(root: Schema, schema: Schema) -> Schema:
    """The schema that a local reference stands for; what stands beside the reference is kept."""
    while "$ref" in schema:
        _, _, name = str(schema["$ref"]).rpartition("/")
        beside = {word: value for word, value in schema.items() if word != "$ref"}
        schema = {**root["$defs"][name], **beside}
    return schema


def _alternatives(schema: Schema) -> Sequence[Schema]:
    found = schema.get("anyOf")
    return found if isinstance(found, Sequence) else (schema,)


def _types(schema: Schema) -> frozenset[str]:
    """Empty: any. Where only values are given, theirs."""
    found = schema.get("type")
    if found is None:
        return frozenset(_TYPE_OF[type(value)] for value in _values(schema) or ())
    return frozenset({found} if isinstance(found, str) else found)


def _values(schema: Schema) -> Sequence[Any] | None:
    """The only values there are; None: any of the type."""
    if "const" in schema:
        return (schema["const"],)
    found = schema.get("enum")
    return found if isinstance(found, Sequence) else None


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
