"""Patches: what an ERP says of an object field by field, and how it is merged into what is known.

A patch says of a field that it is something else, that it is empty now (None), or nothing at all
(UNSET). docs/adr/0025.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

Text = str | UnsetType | None
Flag = bool | UnsetType

V = TypeVar("V", bound=msgspec.Struct)


def said(
    patch: msgspec.Struct, of: type[msgspec.Struct], without: Sequence[str] = ()
) -> dict[str, Any]:
    """Fields of `of` that the patch says something of; None is what the field has by default."""
    defaults = {field.name: field.default for field in msgspec.structs.fields(of)}
    found: dict[str, Any] = {}
    for name in patch.__struct_fields__:
        value = getattr(patch, name)
        if name not in without and value is not UNSET:
            found[name] = defaults[name] if value is None else value
    return found


def merge_views(
    before: Sequence[V], patches: Sequence[msgspec.Struct], *, of: type[V], by: str
) -> tuple[V, ...]:
    """Views of one object (its plants, its companies) after the patches, in the order of `by`, the
    field that names a view; those that no patch names stay as they are."""
    views = {getattr(view, by): view for view in before}
    for patch in patches:
        name = getattr(patch, by)
        view = views[name] if name in views else of(**{by: name})
        views[name] = msgspec.structs.replace(view, **said(patch, of))
    return tuple(views[name] for name in sorted(views))


def merge_texts(before: Mapping[str, str], stated: Mapping[str, str | None]) -> Mapping[str, str]:
    """Texts by a word such as a language, in its order; None takes one away."""
    merged = {**before, **stated}
    texts = ((word, merged[word]) for word in sorted(merged))
    return {word: text for word, text in texts if text is not None}
