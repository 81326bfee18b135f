"""`layshaft hold` and `layshaft release` as people and scripts use them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.integration.test_cli import Command, configuration, data, layshaft

__all__ = ["layshaft"]

NO_BROKER = "amqp://guest:guest@127.0.0.1:9/"


@pytest.fixture(autouse=True)
def configured(layshaft: Command, tmp_path: Path, database_url: str) -> None:
    """The configuration of a system, erp, and no plant."""
    configuration(tmp_path, database_url, NO_BROKER)


def test_a_hold_is_placed_told_and_released(layshaft: Command) -> None:
    exit_code, out, err = layshaft("hold", "--system", "erp", "--reason", "maintenance")
    assert (exit_code, out) == (
        0,
        "Hold 1 on system erp placed by Mia: 1 call held back so far\n",
    )
    assert err == 'To let it go on: layshaft release 1 --reason "..."\n'
    head, row = layshaft("hold")[1].splitlines()
    assert head.split() == ["hold", "on", "waiting", "since", "(UTC)", "by", "reason"]
    assert re.fullmatch(r" +1  system erp  +1 call  [-0-9]+ [:0-9]+  Mia  maintenance", row)
    exit_code, out, err = layshaft("release", "1", "--reason", "it is back")
    assert (exit_code, err) == (0, "")
    assert out == "Hold 1 on system erp released by Mia: 1 call may go on\n"
    assert layshaft("hold")[1] == "Nothing is on hold.\n"
    (told,) = data(layshaft("hold", "--state", "all", "-o", "json")[1])
    assert (told["kind"], told["value"], told["by"], told["released_by"]) == (
        "system", "erp", "Mia", "Mia"
    )  # fmt: skip
    assert (told["reason"], told["release_reason"]) == ("maintenance", "it is back")


def test_a_change_says_that_its_calls_are_on_hold_why_and_by_whom(layshaft: Command) -> None:
    layshaft("hold", "--flow", "engineering-change", "--reason", "audit")
    out = layshaft("change", "show", "ECO-2001")[1]
    held = re.compile(
        r"bom GB-100 +put-bom +in doubt +master data +held: audit, by Mia since [-0-9: ]+ UTC$",
        re.M,
    )
    assert len(held.findall(out)) == 1
    assert "Waiting for: master data, quality, sourcing, a hold." in out
    assert 'to let it go on: layshaft release 1 --reason "..."' in out
    change = data(layshaft("change", "show", "ECO-2001", "-o", "json")[1])
    assert [h["value"] for h in change["holds"]] == ["engineering-change"]
    assert "a hold" in layshaft("change", "list")[1]


def test_a_hold_on_something_else_is_no_matter_of_the_change(layshaft: Command) -> None:
    layshaft("hold", "--flow", "contract", "--reason", "audit")
    assert "on hold" not in layshaft("change", "show", "ECO-2001")[1]
    assert "a hold" not in layshaft("change", "list")[1]


@pytest.mark.parametrize(
    ("given", "known", "meant"),
    [
        (("--system", "erb"), "erp", "Did you mean erp?"),
        (("--plant", "1010"), "none", "Name one of them with --plant"),
        (
            ("--flow", "engineering-changes"),
            "contract, engineering-change, ownership, purchase-order, source-list,"
            " supplier-master, supplier-review",
            "Did you mean engineering-change?",
        ),
    ],
)
def test_what_nobody_knows_is_not_held_and_what_is_known_is_named(
    layshaft: Command, given: tuple[str, str], known: str, meant: str
) -> None:
    exit_code, out, err = layshaft("hold", *given, "--reason", "r")
    assert (exit_code, out) == (4, "")
    assert f"known are {known}\n" in err
    assert meant in err
    assert layshaft("hold")[1] == "Nothing is on hold.\n"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("hold", "--system", "erp", "--flow", "contract", "--reason", "r"), "hold-of-what"),
        (("hold", "--reason", "r"), "hold-of-what"),
        (("hold", "--system", "erp"), "reason-missing"),
        (("release", "1", "--reason", " "), "reason-missing"),
    ],
)
def test_a_hold_is_on_one_thing_for_a_reason(
    layshaft: Command, arguments: tuple[str, ...], code: str
) -> None:
    exit_code, out, err = layshaft(*arguments)
    assert (exit_code, out) == (2, "")
    assert f"LAY-{code}" in err


@pytest.mark.parametrize("number", ["4711", str(2**63)])
def test_a_hold_that_does_not_exist_is_exit_code_4(layshaft: Command, number: str) -> None:
    exit_code, out, err = layshaft("release", number, "--reason", "r")
    assert (exit_code, out) == (4, "")
    assert "See: layshaft hold" in err


def test_what_is_held_already_is_exit_code_6(layshaft: Command) -> None:
    layshaft("hold", "--system", "erp", "--reason", "maintenance")
    exit_code, _, err = layshaft("hold", "--system", "erp", "--reason", "again")
    assert exit_code == 6
    assert "maintenance, by Mia since" in err
    assert "layshaft release 1" in err


def test_a_release_names_what_is_still_held(layshaft: Command) -> None:
    for kind, value in (("--system", "erp"), ("--flow", "contract")):
        layshaft("hold", kind, value, "--reason", "r")
    assert layshaft("release", "1", "--reason", "r")[2] == ("Still in force: 2 on flow contract\n")


def test_doctor_names_a_hold_and_finds_nothing_in_it(layshaft: Command) -> None:
    layshaft("hold", "--system", "erp", "--reason", "maintenance")
    (check,) = [c for c in data(layshaft("doctor", "-o", "json")[1]) if c["code"] == "hold"]
    assert check["state"] == "ok"
    assert check["what"].startswith("On hold: system erp: maintenance, by Mia since ")
