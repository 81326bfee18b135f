"""`layshaft case`: what went wrong and needs a person."""

from __future__ import annotations

from typing import Literal

from cyclopts import App

from broker import cases as work
from broker.principals import Principal
from broker.store import Tx, views
from broker.store.views import EXCERPT_BYTES, CaseView
from ops.cli.numbered import find, put_list, required_reason
from ops.cli.output import Column, Screen, moment, plural, put_json, screen, talk
from ops.cli.session import Actor, Common, Reading, act, read

app = App(name="case", help="See what went wrong, and settle it.")

EXCERPT_LINES = 12
EXCERPT_WIDTH = 160
# One escaped byte in so many characters: not a text any more.
BINARY_SHARE = 50


@app.command(name="list")
def list_cases(
    *,
    state: Literal["open", "resolved", "all"] = "open",
    reading: Reading = Reading(),  # noqa: B008 - frozen
) -> None:
    """List exception cases, open ones first, then the newest.

    Parameters
    ----------
    state
        Which ones.
    """
    rows = read(reading, lambda tx: views.cases(tx, state))
    put_list(
        reading,
        rows,
        [
            (Column("case", is_number=True), lambda c: str(c.id)),
            (Column("state"), lambda c: c.state),
            (Column("owner"), lambda c: c.owner),
            (Column("code"), lambda c: c.code),
            (Column("seen", is_number=True), lambda c: str(c.seen)),
            (Column("opened (UTC)"), lambda c: moment(c.opened_at)),
            (Column("where", is_text=True), lambda c: c.place),
            (Column("what", is_text=True), lambda c: c.what),
        ],
        nothing="No case is open." if state == "open" else "There is none.",
    )


@app.command(name="show")
def show_case(case_id: int, /, *, reading: Reading = Reading()) -> None:  # noqa: B008 - frozen
    """Show what is wrong, where, whose turn it is, what to do, and what waits behind it.

    Parameters
    ----------
    case_id
        Number of the case.
    """
    view = find(reading, "case", case_id, views.case)
    if reading.is_json:
        put_json(view)
    else:
        print_case(screen(), view)


@app.command(name="retry")
def retry_case(
    case_id: int,
    /,
    *,
    reason: str = "the cause was repaired",
    actor: Actor = Actor(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Try again what the case is about; what goes wrong again is a new case.

    Parameters
    ----------
    case_id
        Number of the case.
    reason
        Why it will work now; kept.
    """
    why = required_reason(reason)
    view = find(common, "case", case_id, views.case)

    async def retry(tx: Tx, who: Principal) -> tuple[str, work.Released]:
        return who.name, await work.retry(tx, case_id=case_id, by=who.name, reason=why)

    name, released = act(common, actor, lambda tx: work.deed(tx, "case-retry", case_id), retry)
    what = view.case.key if released == "message" else view.case.place
    screen().line(f"Case {case_id} closed by {name}: the {released} is tried again ({what})")
    if view.message is not None:
        talk(f"Follow it: layshaft trace {view.message.correlation_id}")


@app.command(name="close")
def close_case(
    case_id: int,
    /,
    *,
    reason: str,
    actor: Actor = Actor(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Let it go: a message that waits in the case is not applied, and the next one goes on.

    Parameters
    ----------
    case_id
        Number of the case.
    reason
        Why it is right to let it go; kept.
    """
    why = required_reason(reason)
    view = find(common, "case", case_id, views.case)

    async def close(tx: Tx, who: Principal) -> tuple[str, bool]:
        return who.name, await work.discard(tx, case_id=case_id, by=who.name, reason=why)

    name, let_go = act(common, actor, lambda tx: work.deed(tx, "case-close", case_id), close)
    screen().line(
        f"Case {case_id} closed by {name}" + (": its message was let go" if let_go else "")
    )
    if let_go and view.hold is not None and view.hold.behind:
        talk(f"{plural(view.hold.behind, 'message')} of {view.hold.key} behind it may go on")


def print_case(page: Screen, view: CaseView) -> None:
    """What, where, owner, remedy; then the message and what it holds."""
    case, message, hold = view.case, view.message, view.hold
    page.line(f"Case {case.id}  {case.what}", style="bold")
    page.line()
    rows = [
        ("where", case.place),
        ("owner", case.owner),
        ("what to do", case.remedy or "Ask the owner"),
        ("code", f"{case.code} ({case.word})"),
        ("state", case.state),
        ("opened", f"{moment(case.opened_at)} UTC" + _times(case.seen)),
    ]
    if case.closed_at is not None:
        rows.append(("closed", f"{moment(case.closed_at)} UTC by {case.closed_by}"))
    if case.change:
        rows.append(("change", case.change))
    if hold is not None:
        rows.append(("holds", _hold_words(view)))
    page.fields(rows)
    if message is not None:
        page.line()
        page.line("Message", style="bold")
        page.fields(
            [
                ("from", message.source),
                ("type", message.type),
                ("about", message.key),
                ("id", message.id),
                ("AMQP message id", message.message_id),
                ("kind", message.kind),
                ("content type", message.content_type),
                ("received", f"{moment(message.received_at)} UTC"),
                ("correlation", message.correlation_id),
                *((f"ce-{name}", value) for name, value in sorted(message.attributes.items())),
            ],
        )
        page.line()
        page.line(f"Content  {message.body_bytes} bytes, from the start", style="bold")
        for line in excerpt(message.excerpt, message.body_bytes):
            page.line(f"  {line}")
    if case.state == "open":
        page.line()
        if hold is not None:
            page.line(
                "corrected: the message that corrects it waits behind this one; close this case"
            )
        if hold is not None or view.failed_step is not None:
            page.line(f'repaired:  layshaft case retry {case.id} --reason "..."')
        page.line(f'let it go: layshaft case close {case.id} --reason "..."')


def excerpt(text: str, total_bytes: int) -> list[str]:
    """The first lines of a body, or the first bytes; "..." where something is cut."""
    if text.count("\\x") * BINARY_SHARE > len(text):
        return [f"{text[:EXCERPT_WIDTH]} ... (no text)"]
    lines = text.splitlines()
    shown = [line[:EXCERPT_WIDTH] for line in lines[:EXCERPT_LINES]]
    if shown != lines or total_bytes > EXCERPT_BYTES:
        shown.append("...")
    return shown


def _times(seen: int) -> str:
    return f", seen {seen} times" if seen > 1 else ""


def _hold_words(view: CaseView) -> str:
    assert view.hold is not None
    hold = view.hold
    behind = plural(hold.behind, "message") if hold.behind else "no other message"
    wait = "waits" if hold.behind <= 1 else "wait"
    return f"{hold.key} in {hold.scope}: {behind} {wait} behind it"
