"""What every page rests on: escaping, names that are missing, times with their zone."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import jinja2
import pytest

from ops.console.live import event
from ops.console.pages import Pages
from ops.console.signing import next_page

PAGES = Pages(ZoneInfo("Europe/Berlin"))


def test_a_template_says_what_it_was_not_given() -> None:
    with pytest.raises(jinja2.UndefinedError):
        PAGES.render("once_more.html", signed=None, path="/")


def test_a_text_stays_a_text() -> None:
    page = PAGES.render("once_more.html", signed=None, path="/", address="<b>&")
    assert '<a href="&lt;b&gt;&amp;">' in page


def test_a_time_has_its_zone_and_utc_beside_it() -> None:
    shown = PAGES.moment(datetime(2026, 7, 1, 6, 5, 4, tzinfo=UTC))
    assert str(shown) == (
        '<time datetime="2026-07-01T06:05:04+00:00" title="2026-07-01 06:05:04 UTC">'
        "2026-07-01 08:05:04 CEST</time>"
    )
    assert ">2026-01-01 01:00 CET<" in PAGES.moment(datetime(2026, 1, 1, tzinfo=UTC), is_short=True)
    assert PAGES.moment(None) == ""


@pytest.mark.parametrize(
    ("wanted", "leads_to"),
    [
        ("/changes/ECO-1?form=x", "/changes/ECO-1?form=x"),
        ("", "/changes"),
        ("changes", "/changes"),
        ("//evil.example", "/changes"),
        ("/\\evil.example", "/changes"),
        ("https://evil.example", "/changes"),
        ("/sign-in?next=/sign-in", "/changes"),
        ("/a\r\nSet-Cookie: x=y", "/changes"),
    ],
)
def test_after_signing_in_one_is_on_a_page_of_ours(wanted: str, leads_to: str) -> None:
    assert next_page(wanted) == leads_to


def test_a_message_of_a_stream_is_cut_at_its_lines_only() -> None:
    assert event("m1", "a\r\nb\rc\n\u2028d".encode()) == (
        b"id: m1\ndata: a\ndata: b\ndata: c\ndata: \xe2\x80\xa8d\n\n"
    )
