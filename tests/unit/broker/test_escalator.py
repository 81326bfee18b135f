"""When what waits goes on, and to whom."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any

import msgspec
import pytest

from broker.escalator import due_marks, standstill_marks
from broker.ledger import due
from broker.store.escalations import Standstill, Waiting
from canonical.errors import Misconfigured
from canonical.escalation import Escalation
from canonical.rules import Rules
from canonical.working_time import Hours, WorkingCalendar
from ops.configuration import load

# A Friday, an hour before the office closes.
FRIDAY = datetime(2026, 3, 6, 15, tzinfo=UTC)
OFFICE = WorkingCalendar(
    "UTC", (Hours(("mon", "tue", "wed", "thu", "fri"), time(8), time(16)),), name="office"
)
QUESTION = "supplier-qualification"
HOUR = 3600


def question(**known: Any) -> Waiting:
    """Asked of quality on Friday, due after two hours of working time: on Monday at 9."""
    asked = Waiting(
        id=1,
        ledger_id=1,
        identity="|quality|supplier|S1|approve",
        asked="quality",
        owner="quality",
        reason="",
        question=QUESTION,
        due=due(2 * HOUR, OFFICE, FRIDAY),
        escalated_to=(),
    )
    return msgspec.structs.replace(asked, **known)


def failed(verb: str = "put-bom") -> Waiting:
    return question(
        identity=f"1010|erp|bom|GB-100|{verb}",
        asked="erp",
        question="",
        due=due(HOUR, None, FRIDAY),
    )


def refused(hours: float, **known: Any) -> Waiting:
    """Answered by no so long after Friday; from then on it has its two hours once more."""
    return question(refused_at=after(hours), **known)


def rules(*escalations: Escalation) -> Rules:
    return Rules(
        plants=(),
        distribution=(),
        routes=(),
        central_purchasing_org="1",
        approvers={QUESTION: "quality", "other": "sourcing"},
        calendars={"office": msgspec.structs.replace(OFFICE, name="")},
        escalations=escalations,
    )


def to(role: str, **stated: Any) -> Escalation:
    return Escalation(to=role, **{"question": QUESTION, **stated})


def after(hours: float) -> datetime:
    """So long after Friday."""
    return FRIDAY + timedelta(hours=hours)


MONDAY = 65  # hours from Friday at 15 to Monday at 8


@pytest.mark.parametrize(
    ("rule", "step", "hours"),
    [
        (to("lead", share=0.25), question(), 0.5),
        (to("lead", share=0.75), question(), MONDAY + 0.5),
        (to("lead", share=1), question(), MONDAY + 1),
        (to("lead", past_due_s=HOUR), question(), MONDAY + 2),
        (to("lead", past_due_s=8 * HOUR), question(), MONDAY + 25),  # on Tuesday at 9
        (to("lead", question="", operation="*", past_due_s=HOUR), failed(), 2),
        (to("lead", question="", operation="put-bom", share=0.5), failed(), 0.5),
        (to("lead", question="", refused=QUESTION, share=0.5), refused(0.5), MONDAY + 0.5),
        (to("lead", question="", refused=QUESTION, past_due_s=0), refused(0.5), MONDAY + 1.5),
        (to("lead", question="", refused=QUESTION, past_due_s=0), refused(MONDAY), MONDAY + 2),
        # Who was asked may be who has to see that it is mended, too.
        (to("lead", question="", refused=QUESTION, share=1), refused(0, asked="lead"), MONDAY + 1),
    ],
)
def test_it_is_time_in_the_working_time_in_which_it_is_due(
    rule: Escalation, step: Waiting, hours: float
) -> None:
    moment = after(hours)
    assert due_marks(step, rules(rule), moment - timedelta(seconds=1)) == ()
    [mark] = due_marks(step, rules(rule), moment)
    assert (mark.role, mark.level) == ("lead", 1)


@pytest.mark.parametrize(
    ("rule", "step"),
    [
        (to("lead", question="other", share=0.1), question()),
        (to("lead", question="", operation="*", share=0.1), question()),
        (to("lead", share=0.1), failed()),
        (to("lead", question="", operation="put-item", share=0.1), failed()),
        # Rules of today, a question of before: it is asked of that role.
        (to("lead", share=0.1), question(asked="lead")),
        (to("lead", share=0.1), question(escalated_to=("lead",))),
        (to("lead", share=0.1), refused(0)),
        (to("lead", question="", refused=QUESTION, share=0.1), question()),
        (to("lead", question="", refused="other", share=0.1), refused(0)),
        (to("lead", question="", operation="*", share=0.1), refused(0)),
        (to("lead", question="", refused=QUESTION, share=0.1), refused(0, escalated_to=("lead",))),
    ],
)
def test_a_rule_about_something_else_is_no_rule(rule: Escalation, step: Waiting) -> None:
    assert due_marks(step, rules(rule), after(1000)) == ()


def test_a_mark_says_when_it_was_late() -> None:
    [asked] = due_marks(question(), rules(to("lead", share=1)), after(1000))
    rule = to("lead", question="", refused=QUESTION, share=1)
    [mended] = due_marks(refused(MONDAY), rules(rule), after(1000))
    assert (asked.due_at, mended.due_at) == (after(MONDAY + 1), after(MONDAY + 2))


def held(kind: str = "system", **known: Any) -> Standstill:
    """Stopped on Friday."""
    stopped = Standstill(
        subject="hold 7",
        place=f"hold 7: {kind} erp",
        kind=kind,
        hold_id=7,
        reason="maintenance",
        by="ada",
        since=FRIDAY,
        ledger_key="",
        correlation_id="",
    )
    return msgspec.structs.replace(stopped, **known)


@pytest.mark.parametrize(
    ("rule", "stopped", "hours"),
    [
        # A hold has a day, by any time.
        (to("lead", question="", hold="*", share=0.5), held(), 12),
        (to("lead", question="", hold="system", past_due_s=HOUR), held(), 25),
        (to("lead", question="", hold="change", past_due_s=0), held("change"), 24),
    ],
)
def test_what_people_have_stopped_goes_on_by_the_time_of_a_hold(
    rule: Escalation, stopped: Standstill, hours: float
) -> None:
    moment = after(hours)
    assert standstill_marks(stopped, rules(rule), moment - timedelta(seconds=1)) == ()
    [mark] = standstill_marks(stopped, rules(rule), moment)
    assert (mark.role, mark.level, mark.due_at) == ("lead", 1, after(24))


def test_the_rules_say_how_long_a_hold_may_stand() -> None:
    ours = rules(to("lead", question="", hold="*", past_due_s=0))
    short = msgspec.structs.replace(ours, due_s={"hold": 2 * HOUR, "put-bom": 1})
    assert standstill_marks(held(), short, after(1.9)) == ()
    [mark] = standstill_marks(held(), short, after(2))
    assert mark.due_at == after(2)


@pytest.mark.parametrize(
    ("rule", "stopped"),
    [
        (to("lead", question="", hold="plant", past_due_s=0), held()),
        (to("lead", question="", hold="system", past_due_s=0), held("change")),
        (to("lead", question="", hold="*", past_due_s=0), held(escalated_to=("lead",))),
        (to("lead", question="", operation="*", past_due_s=0), held()),
        (to("lead", past_due_s=0), held()),
    ],
)
def test_a_rule_about_something_else_is_no_rule_of_a_hold(
    rule: Escalation, stopped: Standstill
) -> None:
    assert standstill_marks(stopped, rules(rule), after(1000)) == ()


def test_a_rule_of_holds_is_about_no_step() -> None:
    rule = to("lead", question="", hold="*", past_due_s=0)
    for step in (question(), refused(0), failed()):
        assert due_marks(step, rules(rule), after(1000)) == ()


def test_levels_follow_the_moments_and_not_the_file() -> None:
    ours = rules(to("manager", past_due_s=60), to("lead", share=0.5), to("board", past_due_s=HOUR))
    late = after(MONDAY + 1.5)
    assert [(m.role, m.level) for m in due_marks(question(), ours, late)] == [
        ("lead", 1),
        ("manager", 2),
    ]
    gone_on = question(escalated_to=("lead", "manager"))
    assert [(m.role, m.level) for m in due_marks(gone_on, ours, after(1000))] == [("board", 3)]


def test_a_calendar_that_is_gone_from_the_rules_counts_as_none() -> None:
    without = msgspec.structs.replace(rules(to("lead", past_due_s=HOUR)), calendars={})
    assert due_marks(question(), without, after(MONDAY + 2)) != ()


# What is refused at the start

STATED = """
[settings]
sources = []
systems = []

[rules]
central_purchasing_org = "1000"
routes = []
distribution = []
plants = []

[rules.approvers]
supplier-qualification = "quality"

[[rules.escalations]]
"""
URLS = {"LAYSHAFT_DATABASE_URL": "postgresql://db/x", "LAYSHAFT_AMQP_URL": "amqp://mq/x"}
ASKS = f'question = "{QUESTION}"\n'
LEAD = f'{ASKS}to = "lead"\nshare = 0.5'


@pytest.mark.parametrize(
    ("stated", "says"),
    [
        ('to = "lead"\nshare = 0.5', "name one of them"),
        (f'{ASKS}operation = "*"\nto = "lead"\nshare = 0.5', "name one of them"),
        (f'{ASKS}refused = "{QUESTION}"\nto = "lead"\nshare = 0.5', "name one of them"),
        ('refused = "other"\nto = "lead"\nshare = 0.5', "which nobody is asked"),
        ('hold = "*"\noperation = "*"\nto = "lead"\nshare = 0.5', "name one of them"),
        ('hold = "erp"\nto = "lead"\nshare = 0.5', "'erp' is nothing that could be held"),
        (f'{ASKS}to = "lead"', "a share or past_due_s"),
        (f'{ASKS}to = "lead"\nshare = 0.5\npast_due_s = 1', "a share or past_due_s"),
        (f'{ASKS}to = "lead"\nshare = 1.5', "<= 1.0"),
        (f'{ASKS}to = "lead"\nshare = 0.0', "> 0.0"),
        (f'{ASKS}to = "lead"\npast_due_s = -1', ">= 0"),
        (f'{ASKS}to = " "\nshare = 0.5', "goes to nobody"),
        (f'{ASKS}to = "quality"\nshare = 0.5', "asked already"),
        (f'{ASKS}to = "admin"\nshare = 0.5', "decides no business question"),
        ('question = "other"\nto = "lead"\nshare = 0.5', "which nobody is asked"),
        ('operation = "approve"\nto = "lead"\nshare = 0.5', "'approve' is no operation"),
        ('operation = "put-bomb"\nto = "lead"\nshare = 0.5', "'put-bomb' is no operation"),
        (f"{LEAD}\n[[rules.escalations]]\n{LEAD}", "Two escalations"),
        (f'{ASKS}to = "lead"\nafter = 0.5', "unknown field"),
    ],
)
def test_a_rule_that_cannot_be_is_refused_at_the_start(
    tmp_path: Any, stated: str, says: str
) -> None:
    file = tmp_path / "layshaft.toml"
    file.write_text(STATED + stated)
    with pytest.raises(Misconfigured) as refused:
        load(file, URLS)
    assert says in refused.value.what


def test_escalations_of_failed_calls_may_go_to_whoever_runs_layshaft(tmp_path: Any) -> None:
    file = tmp_path / "layshaft.toml"
    file.write_text(f'{STATED}operation = "*"\nto = "operator"\npast_due_s = 60')
    [rule] = load(file, URLS).rules.escalations
    assert (rule.to, rule.past_due_s, rule.about) == ("operator", 60, "operation *")
