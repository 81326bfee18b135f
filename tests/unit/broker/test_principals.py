"""Who may do what, cell by cell, and what a token looks like."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

import broker
from broker.principals import (
    ALL_PLANTS,
    ANYBODY,
    INSTALLER,
    OWNER,
    PERMISSIONS,
    TECHNICAL_ROLES,
    Action,
    Decision,
    Grant,
    Principal,
    Refused,
    TokenState,
    check,
    may,
    may_be_delegate,
    signers,
    token_hash,
    token_text,
    unusable,
    without_tokens,
)
from canonical.errors import Rejected

PAGE = Path(broker.__file__).parents[1] / "docs" / "who-may-do-what.md"
ROLES = (*TECHNICAL_ROLES, "quality", "sourcing", "engineering", "procurement")
# Written out, not made from the code: action, then whether each of TECHNICAL_ROLES may.
CELLS: dict[Action, tuple[bool, bool, bool, bool]] = {
    "task-approve": (False, False, False, False),
    "task-reject": (False, False, False, False),
    "task-delegate": (False, False, False, False),
    "task-comment": (False, True, True, True),
    "case-retry": (False, True, True, False),
    "case-close": (False, True, True, False),
    "hold-place": (False, True, True, False),
    "hold-release": (False, True, True, False),
    "change-pause": (False, True, True, False),
    "change-resume": (False, True, True, False),
    "change-replan": (False, True, True, False),
    "change-skip": (False, True, True, False),
    "change-restart": (False, True, True, False),
    "change-cancel": (False, True, True, False),
    "change-undo": (False, True, True, False),
    "replay-start": (False, False, True, False),
    "replay-pause": (False, True, True, False),
    "replay-resume": (False, True, True, False),
    "replay-cancel": (False, True, True, False),
    "partitions-change": (False, True, False, False),
    "package-put": (False, True, True, False),
    "token-create": (False, False, False, True),
    "token-revoke": (False, False, False, True),
    "principal-disable": (False, False, False, True),
    "principal-enable": (False, False, False, True),
}


def one(*roles: str, plants: tuple[str, ...] = ALL_PLANTS) -> Principal:
    """Ada, with these roles."""
    return Principal("ada", roles, plants)


def test_every_action_has_its_row() -> None:
    assert set(CELLS) == set(PERMISSIONS) == set(get_args(Action))


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("action", CELLS)
def test_a_role_may_what_its_cell_says(action: Action, role: str) -> None:
    cells = dict(zip(TECHNICAL_ROLES, CELLS[action], strict=True))
    refused = may(one(role), action, role="quality")
    # A business role decides its own questions, says something of others, and does nothing else.
    is_asked = role == "quality" and action.startswith("task-")
    expected = cells.get(role, is_asked or action == "task-comment")
    assert (refused is None) == expected
    if refused is not None:
        assert (refused.code, refused.by) == ("role-missing", "ada")


@pytest.mark.parametrize("action", ["task-approve", "task-reject"])
@pytest.mark.parametrize("asked", ROLES)
@pytest.mark.parametrize("role", ROLES)
def test_a_question_is_decided_by_the_role_that_is_asked_and_never_by_those_who_run_it(
    action: Action, asked: str, role: str
) -> None:
    may_decide = role == asked and role not in TECHNICAL_ROLES
    assert (may(one(role), action, role=asked) is None) == may_decide


def test_one_of_several_roles_is_enough() -> None:
    assert may(one("viewer", "quality"), "task-approve", role="quality") is None
    assert may(one("admin", "quality"), "task-approve", role="quality") is None


def test_a_refusal_says_what_who_is_allowed_and_whom_to_ask() -> None:
    refused = may(one("viewer"), "case-retry")
    assert refused is not None
    assert refused.what == "ada may not retry a case"
    assert refused.where == "it takes the role operator or integrator; ada has viewer"
    assert "an admin gives roles" in refused.remedy
    nobody = may(one(), "task-approve", role="quality")
    assert nobody is not None
    assert nobody.where == "it takes the role quality; ada has none"


@pytest.mark.parametrize(
    ("plants", "concerned", "outside"),
    [
        (("1010",), (), None),
        (("1010",), ("1010",), None),
        (("1010", "2010"), ("1010", "2010"), None),
        (("*",), ("1010", "2010"), None),
        (("*",), ("*",), None),
        ((), (), None),
        ((), ("1010",), "plant 1010"),
        (("1010",), ("2010",), "plant 2010"),
        (("1010",), ("3010", "1010", "2010"), "plant 2010, 3010"),
        (("1010",), ("*",), "all plants"),
    ],
)
def test_every_plant_that_is_concerned_has_to_be_in_the_scope(
    plants: tuple[str, ...], concerned: tuple[str, ...], outside: str | None
) -> None:
    refused = may(one("quality", plants=plants), "task-approve", plants=concerned, role="quality")
    if outside is None:
        assert refused is None
    else:
        assert refused is not None
        assert refused.code == "plant-out-of-scope"
        assert refused.what == f"ada may not approve for {outside}"


@given(
    action=st.sampled_from(list(CELLS)),
    roles=st.sets(st.sampled_from(ROLES)),
    more=st.sets(st.sampled_from(ROLES)),
    plants=st.sets(st.sampled_from(("1010", "2010", "3010"))),
    concerned=st.sets(st.sampled_from(("1010", "2010", "3010"))),
)
def test_more_roles_and_plants_take_nothing_away(
    action: Action, roles: set[str], more: set[str], plants: set[str], concerned: set[str]
) -> None:
    less = one(*roles, plants=tuple(plants))
    if may(less, action, plants=concerned, role="quality") is None:
        grown = one(*roles, *more, plants=ALL_PLANTS)
        assert may(grown, action, plants=concerned, role="quality") is None


_IN_WORDS = {OWNER: "the role that is asked", ANYBODY: "any but viewer"}


def test_the_page_has_the_same_cells() -> None:
    rows = re.findall(r"^\| [^|]+ \| `([a-z-]+)` \| ([^|]+) \|", PAGE.read_text(), re.MULTILINE)
    told = {action: set(re.split(r",? or |, ", roles.strip())) for action, roles in rows}
    assert told == {
        action: {_IN_WORDS.get(role, role) for role in permission.roles}
        for action, permission in PERMISSIONS.items()
    }
    assert len(rows) == len(PERMISSIONS)


# --- signatures ---

APPROVED = Decision("approved", "ada", "aa")


@pytest.mark.parametrize(
    ("decisions", "signed"),
    [
        ([], ()),
        ([APPROVED], ("ada",)),
        ([APPROVED, Decision("approved", "bob", "aa")], ("ada", "bob")),
        ([APPROVED, APPROVED], ("ada",)),
        ([Decision("approved", "bob", "bb"), APPROVED], ("ada",)),
        ([APPROVED, Decision("rejected", "bob", "aa")], ()),
        ([APPROVED, Decision("rejected", "bob", "bb"), Decision("approved", "cy", "aa")], ("cy",)),
    ],
)
def test_those_have_signed_who_approved_this_content_since_it_was_last_rejected(
    decisions: list[Decision], signed: tuple[str, ...]
) -> None:
    assert signers(decisions, "aa") == signed


# --- tokens ---


def test_a_token_is_its_bytes_in_text_and_is_kept_as_their_hash() -> None:
    secret = bytes(range(32))
    text = token_text(secret)
    assert text == "lys_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
    assert token_hash(text) == hashlib.sha256(secret).digest()


@given(secret=st.binary(min_size=32, max_size=32))
def test_each_secret_has_one_text_without_padding(secret: bytes) -> None:
    text = token_text(secret)
    assert re.fullmatch(r"lys_[A-Za-z0-9_-]{43}", text)
    assert token_hash(text) == hashlib.sha256(secret).digest()
    # The last character has two bits that say nothing; the other three texts of it are none.
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet.index(text[-1])
    assert last % 4 == 0
    with pytest.raises(Refused, match="token-malformed"):
        token_hash(text[:-1] + alphabet[last + 1])


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_secret_has_32_bytes(size: int) -> None:
    with pytest.raises(ValueError, match="32 random bytes"):
        token_text(bytes(size))


GOOD = token_text(bytes(32))


@pytest.mark.parametrize(
    "text",
    ["", "lys_", GOOD[4:], GOOD[:-1], GOOD + "A", GOOD + "=", GOOD + "\n", "LYS_" + GOOD[4:],
     GOOD.replace("A", "+", 1), GOOD.replace("A", "\u00c4", 1)],
)  # fmt: skip
def test_what_is_no_token_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(Refused) as refused:
        token_hash(text)
    assert refused.value.code == "token-malformed"
    said = (refused.value.what, refused.value.where, refused.value.remedy, str(refused.value))
    if len(text) > len("lys_"):
        assert not [words for words in said if text.strip() in words]


def test_a_text_is_shown_without_the_tokens_in_it() -> None:
    assert without_tokens(f"you typed: --token {GOOD} --x") == "you typed: --token lys_... --x"
    assert without_tokens(f"{GOOD[:20]}|{GOOD}") == "lys_...|lys_..."
    assert without_tokens("analysis of lysine") == "analysis of lysine"


def test_each_reason_why_a_token_does_not_count_is_said_apart() -> None:
    assert unusable("ada", "valid") is None
    states: tuple[TokenState, ...] = ("expired", "revoked", "disabled")
    refused = [unusable("ada", state) for state in states]
    assert [(r.code, r.what, r.by) for r in refused if r is not None] == [
        ("token-expired", "The token of ada has expired", "ada"),
        ("token-revoked", "The token of ada was revoked", "ada"),
        ("principal-disabled", "ada is disabled", "ada"),
    ]


# --- what a token may be made for ---

USUAL = Grant(name="Q. Lindqvist", roles=("quality",), plants=("1010", "*"), label="laptop")


@pytest.mark.parametrize(
    "grant",
    [
        USUAL,
        Grant(name="x", roles=("master data", "buyers-2"), days=1),
        Grant(name="\u00c5sa", days=730),
    ],
)
def test_a_usual_grant_is_in_order(grant: Grant) -> None:
    check(grant)


@pytest.mark.parametrize(
    ("grant", "code"),
    [
        (Grant(name=""), "principal-name"),
        (Grant(name=" ada"), "principal-name"),
        (Grant(name="a\tb"), "principal-name"),
        (Grant(name="a" * 101), "principal-name"),
        (Grant(name="layshaft"), "principal-name"),
        (Grant(name="unknown"), "principal-name"),
        (Grant(name=INSTALLER.name), "principal-name"),
        (Grant(name="ada", label="a\nb"), "token-label"),
        (Grant(name="ada", roles=("Quality",)), "role-name"),
        (Grant(name="ada", roles=("",)), "role-name"),
        (Grant(name="ada", roles=("owner",)), "role-name"),
        (Grant(name="ada", plants=("",)), "plant-code"),
        (Grant(name="ada", plants=(" 1010",)), "plant-code"),
        (Grant(name="ada", days=0), "token-days"),
        (Grant(name="ada", days=731), "token-days"),
    ],
)
def test_what_cannot_be_granted_is_refused_with_what_is_wrong(grant: Grant, code: str) -> None:
    with pytest.raises(Rejected) as refused:
        check(grant)
    assert refused.value.code == code


# --- somebody in the place of another ---


def test_a_delegate_needs_the_plants_and_no_role() -> None:
    bob = Principal("bob", ("sourcing",), ("1010",))
    for plants, allowed in ((("1010",), True), (("1010", "2010"), False)):
        refused = may(bob, "task-approve", role="quality", plants=plants, delegates=("bob",))
        assert (refused is None) == allowed
    assert may(bob, "task-approve", role="quality", delegates=("eve",)) is not None


def test_a_role_that_it_has_gone_on_to_decides_too_and_never_one_of_those_who_run_it() -> None:
    lead = Principal("lin", ("quality-lead",), ALL_PLANTS)
    assert may(lead, "task-approve", role="quality", escalated_to=("quality-lead",)) is None
    refused = may(lead, "task-approve", role="quality", escalated_to=("manager", "admin"))
    assert refused is not None
    assert refused.where == "it takes the role quality or manager; lin has quality-lead"
    assert may(one("admin"), "task-approve", role="quality", escalated_to=("admin",)) is not None


@pytest.mark.parametrize(
    ("named", "why"),
    [
        (Principal("bob", ("sourcing",), ("1010",)), None),
        (Principal("bob", ("sourcing", "operator"), ("*",)), None),
        (Principal("ada", ("sourcing",), ("1010",)), "anyway"),
        (Principal("bob", ("quality",), ("1010",)), "anyway"),
        (Principal("bob", ("manager", "sourcing"), ("1010",)), "anyway"),
        (Principal("bob", TECHNICAL_ROLES, ("*",)), "decides nothing"),
        (Principal("bob", (), ("1010",)), "decides nothing"),
        (Principal("bob", ("sourcing",), ("2010",)), "acts for plant 2010, it is about plant 1010"),
        (Principal("cy", ("sourcing",), ("1010",)), "cy does so for eve already"),
    ],
)
def test_who_may_decide_in_the_place_of_another(named: Principal, why: str | None) -> None:
    refused = may_be_delegate(
        named, one("quality"), roles=("quality", "manager"), plants=("1010",), known={"cy": "eve"}
    )
    assert (refused is None) == (why is None)
    if refused is not None and why is not None:
        assert (refused.code, refused.by, why in refused.where) == ("no-delegate", "ada", True)
