"""Who owns which values: what a statement changes, what is disputed, and who speaks for it all."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.item import Item
from canonical.item_master import ItemMaster, PlantView
from canonical.ownership import (
    ANY,
    ENTITIES,
    Disputed,
    Entity,
    Ownership,
    is_owned,
    is_path,
    judge,
    owner_of,
    read,
    refuse_ambiguous,
    speaks,
    values,
    with_values,
)
from canonical.quantity import Quantity
from canonical.supplier_master import CompanyView, SupplierMaster
from tests.fixtures.gearbox import item

ITEM, MASTER, SUPPLIER = ENTITIES["item"], ENTITIES["item-master"], ENTITIES["supplier-master"]
SYSTEMS = ("plm", "erp", "suite")
# What names an object or its statement, and belongs to nobody.
NAMES = {
    "number", "parent", "plant", "usage", "alternative", "supplier", "item", "organisation",
    "category", "version", "stated_at", "origin",
}  # fmt: skip


# The table


@pytest.mark.parametrize("entity", ENTITIES.values(), ids=lambda entity: entity.name)
def test_every_field_of_an_entity_is_in_one_group_or_names_it(entity: Entity) -> None:
    grouped = [field for fields in entity.groups.values() for field in fields]
    assert len(grouped) == len(set(grouped))
    assert set(entity.document.__struct_fields__) - set(grouped) <= NAMES
    assert entity.quiet <= set(grouped)
    assert {*entity.views, *entity.words} <= set(grouped)


@pytest.mark.parametrize("entity", ENTITIES.values(), ids=lambda entity: entity.name)
def test_views_have_a_value_for_whatever_nobody_states(entity: Entity) -> None:
    for of, by in entity.views.values():
        assert [field.name for field in msgspec.structs.fields(of) if field.required] == [by]


# Rows


def test_the_most_special_row_counts() -> None:
    rows = (
        Ownership("item", "plm"),
        Ownership("item", "erp", group="measures"),
        Ownership("item", "suite", group="measures", state="obsolete"),
        Ownership("item", "plm", state="obsolete"),
        Ownership("bom", "other"),
    )
    owners = {
        (group, state): row.owner
        for group in ("measures", "definition")
        for state in ("released", "obsolete")
        if (row := owner_of(rows, "item", group, state))
    }
    assert owners == {
        ("measures", "released"): "erp",
        ("measures", "obsolete"): "suite",
        ("definition", "released"): "plm",
        ("definition", "obsolete"): "plm",
    }
    assert owner_of(rows, "supplier", "identity", "qualified") is None
    assert is_owned(rows, "bom")
    assert not is_owned(rows, "supplier")


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ({"entity": "itme"}, "'itme' is no entity; did you mean 'item'?"),
        ({"entity": "item", "group": "definitions"}, "did you mean 'definition'?"),
        ({"entity": "item", "state": "relaesed"}, "did you mean 'released'?"),
        ({"entity": "source-list", "state": "open"}, "source-list has no states"),
        ({"entity": "item", "owner": ""}, "the owner of item is empty"),
    ],
)
def test_a_row_about_nothing_is_refused_with_what_was_meant(
    stated: dict[str, str], words: str
) -> None:
    with pytest.raises(msgspec.ValidationError, match=words.replace("?", r"\?")):
        msgspec.convert({"owner": "plm", **stated}, Ownership)


def test_two_rows_about_the_same_are_refused() -> None:
    twice = (Ownership("item", "plm", "measures"), Ownership("item", "erp", "measures"))
    with pytest.raises(ValueError, match="Two rows say who owns measures of item: plm and erp"):
        refuse_ambiguous(twice)


def test_rows_of_which_neither_is_more_special_are_refused_until_one_is() -> None:
    group = Ownership("item", "erp", group="measures")
    state = Ownership("item", "plm", state="obsolete")
    with pytest.raises(ValueError, match='add one with group = "measures" and state = "obsolete"'):
        refuse_ambiguous((state, group))
    refuse_ambiguous((group, state, Ownership("item", "plm", "measures", "obsolete")))
    refuse_ambiguous((group, Ownership("item", "erp", state="obsolete")))
    refuse_ambiguous((group, Ownership("bom", "plm", state="obsolete")))


def test_where_every_group_has_an_owner_each_speaks_and_else_the_origin() -> None:
    some = (Ownership("supplier-master", "erp", "payment"),)
    all_of_them = (*some, Ownership("supplier-master", "suite"))
    said = {
        (name, who): speaks(rows, "supplier-master", "active", said_by=who, origin="old")
        for name, rows in (("none", ()), ("some", some), ("all", all_of_them))
        for who in ("old", "erp", "suite", "")
    }
    assert {key for key, is_so in said.items() if is_so} == {
        ("none", "old"),
        ("some", "old"),
        ("all", "erp"),
        ("all", "suite"),
    }
    assert not speaks((), "supplier-master", "active", said_by="", origin="")


# Values


def master(**stated: Any) -> ItemMaster:
    return ItemMaster("PIN", 1, **stated)


def test_values_of_views_and_words_are_told_apart() -> None:
    found = values(
        MASTER, master(descriptions={"en": "Pin"}, plants=(PlantView("1010", status="A"),))
    )
    assert found["descriptions", "en"] == "Pin"
    assert found["plants", "1010", "status"] == "A"
    assert found[("gtin",)] == ""


def words() -> st.SearchStrategy[str]:
    return st.sampled_from(("", "a", "b", "c"))


@st.composite
def masters(draw: st.DrawFn) -> ItemMaster:
    return master(
        gtin=draw(words()),
        group=draw(words()),
        status=draw(words()),
        is_deleted=draw(st.booleans()),
        descriptions={
            language: draw(words())
            for language in sorted(draw(st.sets(st.sampled_from(("de", "en")))))
        },
        plants=tuple(
            PlantView(plant, status=draw(words()), purchasing_group=draw(words()))
            for plant in sorted(draw(st.sets(st.sampled_from(("1010", "2010")))))
        ),
    )


@st.composite
def items(draw: st.DrawFn) -> Item:
    return item(
        "PIN",
        description=draw(words()),
        family=draw(words()),
        phase=draw(words()),
        lifecycle=draw(st.sampled_from(("released", "obsolete"))),
        manufacturers=(),
    )


@st.composite
def rows(draw: st.DrawFn, entity: Entity = MASTER) -> tuple[Ownership, ...]:
    groups = draw(st.sets(st.sampled_from((ANY, *entity.groups))))
    return tuple(
        Ownership(entity.name, draw(st.sampled_from(SYSTEMS)), group) for group in sorted(groups)
    )


def owners(table: tuple[Ownership, ...], entity: Entity, path: tuple[str, ...]) -> str:
    row = owner_of(table, entity.name, entity.group_of(path[0]), "released")
    return row.owner if row else ""


def at(entity: Entity, document: Any, path: tuple[str, ...]) -> Any:
    return values(entity, document).get(path, read(entity, path, ""))


@given(masters(), masters())
def test_a_document_is_made_of_its_values(before: ItemMaster, after: ItemMaster) -> None:
    changed = {
        path: at(MASTER, after, path) for path in values(MASTER, before) | values(MASTER, after)
    }
    made = with_values(MASTER, before, changed)
    for path, value in changed.items():
        assert at(MASTER, made, path) == value
        assert is_path(MASTER, path)


@given(rows(), st.sampled_from(SYSTEMS), masters(), masters(), st.booleans())
def test_a_value_changes_only_by_its_owner_or_where_it_has_none(
    table: tuple[Ownership, ...],
    source: str,
    before: ItemMaster,
    said: ItemMaster,
    is_latest: bool,
) -> None:
    judged = judge(table, MASTER, "released", source, before, said, is_latest=is_latest)
    disputed = {each.path: each for each in judged.disputed}
    for path in values(MASTER, before) | values(MASTER, said):
        old, new = at(MASTER, before, path), at(MASTER, said, path)
        kept, owner = at(MASTER, judged.document, path), owners(table, MASTER, path)
        if owner == source or (not owner and is_latest):
            assert kept == new
        else:
            assert kept == old
        is_disputed = owner not in ("", source) and old != new
        assert (path in disputed) == (is_disputed and path[0] not in MASTER.quiet)
        if path in disputed:
            assert disputed[path].owner == owner
            assert read(MASTER, path, disputed[path].known) == old
            assert read(MASTER, path, disputed[path].stated) == new
    assert judged.is_outdated == (
        not is_latest
        and any(
            not owners(table, MASTER, path) and at(MASTER, before, path) != at(MASTER, said, path)
            for path in values(MASTER, before) | values(MASTER, said)
        )
    )


@given(rows(), st.sampled_from(SYSTEMS), masters(), masters())
def test_a_statement_made_twice_says_the_same(
    table: tuple[Ownership, ...], source: str, before: ItemMaster, said: ItemMaster
) -> None:
    once = judge(table, MASTER, "released", source, before, said)
    assert judge(table, MASTER, "released", source, once.document, said) == once


@given(rows(), masters(), masters(), masters())
def test_statements_of_two_systems_that_own_what_they_say_come_to_the_same_in_any_order(
    table: tuple[Ownership, ...], before: ItemMaster, one: ItemMaster, other: ItemMaster
) -> None:
    table = (
        (*table, Ownership("item-master", "plm"))
        if not any(row.group == ANY for row in table)
        else table
    )

    def after(*said: tuple[str, ItemMaster]) -> ItemMaster:
        document = before
        for source, statement in said:
            document = judge(table, MASTER, "released", source, document, statement).document
        return document

    forth = after(("plm", one), ("erp", other))
    assert values(MASTER, forth) == values(MASTER, after(("erp", other), ("plm", one)))


@given(st.sampled_from(SYSTEMS), items(), items())
def test_without_a_row_all_of_a_statement_applies(source: str, before: Item, said: Item) -> None:
    other = (Ownership("bom", "plm"),)
    for known in (before, None):
        judged = judge(other, ITEM, "released", source, known, said)
        assert values(ITEM, judged.document) == values(ITEM, said)
        assert judged.disputed == ()


@given(rows(ITEM), st.sampled_from(SYSTEMS), items())
def test_of_an_unknown_object_only_the_owners_values_come_to_be(
    table: tuple[Ownership, ...], source: str, said: Item
) -> None:
    judged = judge(table, ITEM, "released", source, None, said)
    foreign = {path for path in values(ITEM, said) if owners(table, ITEM, path) not in ("", source)}
    is_named = [path for path in foreign if path[0] in ("description", "revision", "lifecycle")]
    assert (judged.document is None) == bool(is_named)
    if judged.document is not None:
        for path in values(ITEM, said):
            kept = at(ITEM, judged.document, path)
            assert kept == (read(ITEM, path, "") if path in foreign else at(ITEM, said, path))


def test_what_a_whole_statement_leaves_out_is_no_claim_on_what_another_one_owns() -> None:
    table = (Ownership("item", "plm"),)
    before = item("PIN", family="Gearboxes", description="Pin")
    said = msgspec.structs.replace(before, family="", manufacturers=(), description="Bolt")
    judged = judge(table, ITEM, "released", "erp", before, said)
    assert judged.document == before
    assert judged.disputed == (Disputed(("description",), "plm", '"Pin"', '"Bolt"'),)


def test_a_patch_that_empties_what_another_one_owns_is_disputed() -> None:
    table = (Ownership("supplier-master", "suite", "payment"),)
    before = SupplierMaster("S-1", 1, companies=(CompanyView("10", payment_terms="NT30"),))
    said = msgspec.structs.replace(before, companies=(CompanyView("10"),), city="Ulm")
    judged = judge(table, SUPPLIER, "active", "erp", before, said)
    assert judged.document == msgspec.structs.replace(before, city="Ulm")
    (disputed,) = judged.disputed
    assert (disputed.name, disputed.known, disputed.stated) == (
        "companies[10].payment_terms",
        '"NT30"',
        '""',
    )


def test_an_owner_speaks_through_others_too() -> None:
    table = (Ownership("item", "plm", also=("plm-changes",)),)
    before = item("PIN", description="Pin")
    said = msgspec.structs.replace(before, description="Bolt")
    assert judge(table, ITEM, "released", "plm-changes", before, said).document == said


@pytest.mark.parametrize(("state", "disputes"), [("released", 0), ("in_design", 1)])
def test_a_row_may_hang_on_the_state(state: str, disputes: int) -> None:
    table = (Ownership("item", "plm"), Ownership("item", "erp", "measures", "released"))
    before = item("PIN")
    said = msgspec.structs.replace(before, weight=Quantity(Decimal(2), "KGM"))
    assert len(judge(table, ITEM, state, "erp", before, said).disputed) == disputes
