"""Members of foreign JSON that no type takes, and texts in it that are not written as they should
be: a decoder passes over both without a word.

What a type takes is found once per type; looking through a document takes time in proportion to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, ClassVar, TypeVar, get_origin

import msgspec
from msgspec import inspect

from canonical.envelope import MAX_DEVIATIONS, Deviation
from canonical.manners import Manner

T = TypeVar("T")

# Of one message, so many different ones: whoever sends more has another format.
MAX_NAMED = 50
_MAX_NAME_CHARS = 60


class Foreign(msgspec.Struct, frozen=True):
    """An object of a vendor as far as it is read.

    left_out: members as the vendor spells them that are known and not read, here or in a type that
        this one is made from. They are not told, so that what is told is news.
    manners: how members may be written that hold a text, here or in a type that is made from this
        one; `uom.code` is a member of the object in a member, EVERY_OTHER are all that hold a text.
        None: there is one way.
    """

    left_out: ClassVar[frozenset[str]] = frozenset()
    manners: ClassVar[Mapping[str, Manner | None]] = {}


EVERY_OTHER = "*"


def looked_through(content: object, kind: object) -> tuple[tuple[str, ...], tuple[Deviation, ...]]:
    """Which members of the content the type does not take, as `lines[].uom.name`, each once; and
    which texts that it takes are not written as they should be, by their place: `lines[2].number`.

    content: what JSON was decoded to without a type, having passed as that type. Nothing is said of
    what stands below a member that is not taken. In order of their coming, MAX_NAMED and
    MAX_DEVIATIONS at most.
    """
    shape = _shape_of(kind)
    told = _Told()
    if shape is not None:
        _look(content, shape, "", told)
    return tuple(told.found), tuple(told.deviations)


def named(names: Iterable[T]) -> tuple[T, ...]:
    """The same for what other formats have instead of members: each once, MAX_NAMED at most."""
    found: dict[T, None] = {}
    for name in names:
        if len(found) == MAX_NAMED:
            break
        found[name] = None
    return tuple(found)


def shown(name: str) -> str:
    """A name out of a document, printable and short."""
    return "".join(c if c.isprintable() else " " for c in name[:_MAX_NAME_CHARS])


@dataclass(slots=True, eq=False)
class _Shape:
    """What a value may hold. members: of an object; below: those of them that are looked into;
    manners: those that are judged by how they are written.

    each: of what a list holds.
    """

    members: frozenset[str] = frozenset()
    below: tuple[tuple[str, _Shape], ...] = ()
    manners: tuple[tuple[str, Manner], ...] = ()
    each: _Shape | None = None


@dataclass(slots=True)
class _Told:
    """What was found so far. settled: by the path of an object, names that need no second look;
    places: in the lists above what is looked at, the outermost first."""

    found: dict[str, None] = field(default_factory=dict)
    deviations: list[Deviation] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    settled: dict[str, set[str]] = field(default_factory=dict)


def _look(value: object, shape: _Shape, path: str, told: _Told) -> None:
    # Nesting is bounded by the types, or else where the document is read.
    if type(value) is dict:
        if not value.keys() <= shape.members:
            _tell(value, shape, path, told)
        for name, manner in shape.manners:
            text = value.get(name)
            if type(text) is str and (what := manner(text)):
                _deviates(f"{path}.{name}" if path else name, what, told)
        for name, inner in shape.below:
            if held := value.get(name):
                _look(held, inner, f"{path}.{name}" if path else name, told)
    elif type(value) is list and shape.each is not None:
        path = f"{path}[]"
        for place, held in enumerate(value):
            told.places.append(place)
            _look(held, shape.each, path, told)
            told.places.pop()


def _tell(value: dict[str, Any], shape: _Shape, path: str, told: _Told) -> None:
    # Rows mostly have the same news as the row before.
    settled = told.settled.get(path)
    if settled is None:
        settled = told.settled[path] = set(shape.members)
    if value.keys() <= settled:
        return
    for name in value:
        if len(told.found) == MAX_NAMED:
            return
        if name not in settled:
            settled.add(name)
            told.found[f"{path}.{shown(name)}" if path else shown(name)] = None


def _deviates(path: str, what: str, told: _Told) -> None:
    if len(told.deviations) == MAX_DEVIATIONS:
        return
    *steps, last = path.split("[]")
    placed = zip(steps, told.places, strict=True)
    where = "".join(f"{step}[{place}]" for step, place in placed) + last
    told.deviations.append(Deviation(where, what))


@cache
def _shape_of(kind: object) -> _Shape | None:
    return _shape(inspect.type_info(kind), {})


def _shape(info: inspect.Type, known: dict[object, _Shape]) -> _Shape | None:
    """None where there is nothing to look for. known: types that hold themselves end there."""
    match info:
        case inspect.Metadata():
            return _shape(info.type, known)
        case inspect.StructType():
            return known[info.cls] if info.cls in known else _of_struct(info, known)
        case inspect.UnionType():
            return _of_union(list(_shapes(info.types, known)))
        case inspect.CollectionType():
            each = _shape(info.item_type, known)
            return None if each is None else _Shape(each=each)
    # Of mappings, any name is taken.
    return None


def _of_struct(info: inspect.StructType, known: dict[object, _Shape]) -> _Shape:
    shape = known[info.cls] = _Shape()
    bases: tuple[type, ...] = (get_origin(info.cls) or info.cls).__mro__
    foreign = [base for base in bases if issubclass(base, Foreign)]
    left_out = [base.left_out for base in foreign]
    shape.members = frozenset(one.encode_name for one in info.fields).union(*left_out)
    manners = {name: how for base in reversed(foreign) for name, how in base.manners.items()}
    fields = [(one.encode_name, _shape(one.type, known)) for one in info.fields]
    shape.below = tuple(
        (name, _judged(below, name, manners)) for name, below in fields if below is not None
    )
    every_other = manners.get(EVERY_OTHER)
    own = ((name, manners.get(name, every_other)) for name, below in fields if below is None)
    shape.manners = tuple((name, manner) for name, manner in own if manner is not None)
    return shape


def _judged(shape: _Shape, name: str, manners: Mapping[str, Manner | None]) -> _Shape:
    """The shape of a member with what is said of its own members from above."""
    inner = [
        (path.removeprefix(f"{name}."), manner)
        for path, manner in manners.items()
        if path.startswith(f"{name}.") and manner is not None
    ]
    return replace(shape, manners=(*shape.manners, *inner)) if inner else shape


def _of_union(shapes: list[_Shape]) -> _Shape | None:
    if len(shapes) > 1:
        raise TypeError("Where one of several shapes may stand, nobody can tell what is not taken")
    return shapes[0] if shapes else None


def _shapes(infos: Iterable[inspect.Type], known: dict[object, _Shape]) -> Iterator[_Shape]:
    for info in infos:
        shape = _shape(info, known)
        if shape is not None:
            yield shape
