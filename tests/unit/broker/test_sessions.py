"""What only the browser has, and what follows from it."""

from __future__ import annotations

from broker.principals import Principal, may_see
from broker.sessions import form_token, is_form_token, session_hash


def test_forms_of_a_session_carry_what_no_other_session_gives() -> None:
    assert is_form_token("a" * 43, form_token("a" * 43))
    assert not is_form_token("a" * 43, form_token("b" * 43))
    assert not is_form_token("a" * 43, "")
    assert not is_form_token("a" * 43, "\ud800\N{SNOWMAN}")


def test_what_is_kept_of_a_session_makes_no_form() -> None:
    kept = session_hash("a" * 43)
    assert not is_form_token("a" * 43, kept.hex())
    assert kept != session_hash("b" * 43)


def test_who_acts_for_one_of_its_plants_may_look_at_a_change() -> None:
    who = Principal("Per", ("operator",), ("2010",))
    assert may_see(who, "ECO-1", ("1010", "2010")) is None
    assert may_see(who, "ECO-1", ()) is None
    refused = may_see(who, "ECO-1", ("1010",))
    assert refused is not None
    assert (refused.code, refused.by) == ("plant-out-of-scope", "Per")
    assert may_see(Principal("Ola", (), ("*",)), "ECO-1", ("1010",)) is None
