"""What an HTTP answer that is no success means for a step: one table for every vendor.

A driver reads its vendor's error document into a Refusal; the rest follows from the status and from
whether the call may have changed something.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal, TypeVar

import msgspec

from canonical.codec import decode_json
from canonical.errors import (
    Busy,
    Failure,
    InDoubt,
    InvalidMessage,
    Misconfigured,
    Rejected,
    Unavailable,
)
from canonical.exchange import Response

T = TypeVar("T")

MAX_SAID_CHARS = 300
# Whom targets name that somebody else has the object: "Material X is locked by user MILLER".
_HOLDER = re.compile(
    r"(?:locked|processed|edited|used)(?: by)(?: user)? +([A-Z0-9_.@-]{2,40})\b(?! +user)",
    re.IGNORECASE,
)

# exists: the object is there already. changed: what was read before is out of date. locked:
# somebody is working on it. session: the login has ended.
Meaning = Literal["", "exists", "changed", "locked", "session"]


class Refusal(msgspec.Struct, frozen=True):
    """A target's own words about an error.

    code: the vendor's message code. text: for people. where: the field it names.
    meaning: what the vendor's words say beyond the status; "" where the status says it all.
    """

    code: str = ""
    text: str = ""
    where: str = ""
    meaning: Meaning = ""


def decode(
    response: Response,
    kind: type[T],
    *,
    wrote: bool,
    error_in: Callable[[Response], str] = lambda _: "",
) -> T:
    """The content of a 2xx answer.

    error_in: the words of the vendor's error document, which may come with any status; "" for none.
    Raises: InDoubt for content of any other kind if the call may have changed something; else
        Misconfigured for a page for people or an unknown shape, Unavailable for a broken body.
    """
    try:
        return decode_json(response.body, kind, where="answer")
    except InvalidMessage as error:
        raise unusable(response, error, wrote=wrote, said=error_in(response)) from error


def unusable(response: Response, error: InvalidMessage, *, wrote: bool, said: str = "") -> Failure:
    """What it means that a 2xx answer is not what was asked for; said: the error that it holds."""
    about = f"it says {printable(said)}" if said else error.what
    what = f"The answer (status {response.status}) cannot be used: {about}"
    if wrote:
        return InDoubt("answer-unusable", what, where=error.where)
    if is_page(response):
        return Misconfigured(
            "answer-is-a-page",
            "The target answered with a page for people instead of data",
            where="answer",
            remedy="Check base URL, credentials and single sign-on of this system",
        )
    if error.code == "contract-violated":
        return Misconfigured(
            "answer-unknown",
            what,
            where=error.where,
            remedy="Check which release of the interface the target offers",
        )
    return Unavailable("answer-unusable", what, where=error.where)


def is_page(response: Response) -> bool:
    """Whether the body is HTML: a login form, a proxy's error page."""
    content_type = response.headers.get("content-type", "").lower()
    return "html" in content_type or response.body[:64].lstrip().startswith(b"<")


def failure(response: Response, refusal: Refusal, *, wrote: bool) -> Failure:
    """What an answer that is no success means.

    wrote: the call may have changed something.
    """
    said = ": ".join(printable(text) for text in (refusal.code, refusal.text) if text)
    what = f"Status {response.status}" + (f", {said}" if said else "")
    where = printable(refusal.where)
    match refusal.meaning:
        case "exists" if wrote:
            return _exists(what, where)
        case "changed":
            return Unavailable("changed-meanwhile", what, where=where)
        case "locked":
            return _locked(response, what, where)
        case "session":
            return Unavailable("session-ended", what, where=where)
    return _by_status(response, what, where, wrote=wrote)


def _by_status(response: Response, what: str, where: str, *, wrote: bool) -> Failure:
    pause_s = response.retry_after_s
    match response.status:
        case 401 | 403:
            remedy = "Check user, password and authorisations of this system"
            return Misconfigured("not-authorised", what, where=where, remedy=remedy)
        case 404 if is_page(response) or not response.body:
            return _unknown_interface(what, where)
        case 405 | 406 | 415 | 501:
            return _unknown_interface(what, where)
        case 408:
            return Unavailable("target-slow", what, where=where, retry_after_s=pause_s)
        case 409 if wrote:
            return _exists(what, where)
        case 409 | 412 | 428:
            return Unavailable("changed-meanwhile", what, where=where)
        case 423:
            return _locked(response, what, where)
        case 429:
            return Unavailable("rate-limited", what, where=where, retry_after_s=pause_s)
        case status if 400 <= status < 500:
            remedy = "Correct what the target names, at the source or in the target"
            return Rejected("target-refused", what, where=where, remedy=remedy)
        case status if wrote:
            # Also a redirect or a 202: nobody said that it was done, nobody that it was not.
            return InDoubt(f"status-{status}", what, where=where, retry_after_s=pause_s)
        case 502 | 503 | 504:
            return Unavailable("target-away", what, where=where, retry_after_s=pause_s)
        case status if status >= 500:
            return Unavailable("target-failed", what, where=where, retry_after_s=pause_s)
        case _:
            return _unknown_interface(what, where)


def _exists(what: str, where: str) -> Failure:
    # Refused, so this call changed nothing. The next try observes first: equal content is success.
    # Tried only so often, since an object that our read never shows would be refused for ever.
    remedy = "Find out why a read by its key does not show it: authorisation, archive, spelling"
    return Unavailable("exists-already", what, where=where, remedy=remedy)


def _locked(response: Response, what: str, where: str) -> Failure:
    pause_s = response.retry_after_s
    found = _HOLDER.search(what)
    holder = found[1] if found else "the person who holds the object"
    remedy = f"Ask {holder} to leave it"
    return Busy("locked", what, where=where, remedy=remedy, retry_after_s=pause_s)


def _unknown_interface(what: str, where: str) -> Failure:
    remedy = "Check base URL, released services and interface version of this system"
    return Misconfigured("interface-unknown", what, where=where, remedy=remedy)


def printable(text: str, limit: int = MAX_SAID_CHARS) -> str:
    """Foreign words fit for a log line and a screen: one line, cut."""
    return "".join(c if c.isprintable() else " " for c in text[:limit])
