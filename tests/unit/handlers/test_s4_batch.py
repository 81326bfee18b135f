"""Change sets of S/4HANA: what is sent is read by somebody else's parser, and whatever comes back
is understood or refused in our words."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.errors import InDoubt, Misconfigured
from canonical.exchange import Request, Response
from handlers.systems.s4 import batch, odata
from handlers.systems.s4.native import BomItem
from tests.fixtures.change_sets import (
    INNER,
    OUTER,
    carried_out,
    http,
    in_batch,
    multipart,
    writes_of,
)

SERVICE = "API_BILL_OF_MATERIAL_SRV;v=0002"
ROOT = f"{odata.ROOT}/{SERVICE}/"
ITEMS = f"{ROOT}MaterialBOMItem"
JSON = {"content-type": "application/json"}
ADDED = Response(201, JSON | {"etag": "W/\"'2'\""}, b'{"d":{"Material":"PUMP"}}')
DONE = Response(204, {"dataserviceversion": "2.0"}, b"")
REFUSED = Response(400, JSON, b'{"error":{"code":"M3/305","message":{"value":"No SEAL"}}}')


def item(component: str) -> BomItem:
    return BomItem(BillOfMaterialComponent=component)


def boundaries_of(request: Request) -> tuple[str, str]:
    """Of the batch and of its change set."""
    assert request.body is not None
    outer = dict(request.headers)["Content-Type"].removeprefix("multipart/mixed; boundary=")
    inner = re.search(rb"boundary=(\w+)", request.body)
    assert inner is not None
    return outer, inner[1].decode()


# --- requests ---


def test_a_change_set_is_spelled_as_the_protocol_wants_it() -> None:
    request = batch.change_set(
        SERVICE,
        [
            odata.post(f"{ITEMS}('1')/to_Item", item("SÖL")),
            odata.delete(f"{ITEMS}('1')", "W/\"'7'\""),
        ],
    )
    outer, inner = boundaries_of(request)
    assert (request.method, request.path, request.effectful) == ("POST", f"{ROOT}$batch", True)
    assert dict(request.headers) == {
        "Accept": "multipart/mixed",
        "Accept-Language": "en",
        "Content-Type": f"multipart/mixed; boundary={outer}",
    }
    assert request.body is not None
    assert request.body.decode().split("\r\n") == [
        f"--{outer}",
        f"Content-Type: multipart/mixed; boundary={inner}",
        "",
        f"--{inner}",
        "Content-Type: application/http",
        "Content-Transfer-Encoding: binary",
        "",
        "POST MaterialBOMItem('1')/to_Item HTTP/1.1",
        "Accept: application/json",
        "Accept-Language: en",
        "Content-Type: application/json",
        "Content-Length: 34",
        "",
        '{"BillOfMaterialComponent":"SÖL"}',
        f"--{inner}",
        "Content-Type: application/http",
        "Content-Transfer-Encoding: binary",
        "",
        "DELETE MaterialBOMItem('1') HTTP/1.1",
        "Accept: application/json",
        "Accept-Language: en",
        "If-Match: W/\"'7'\"",
        "",
        "",
        f"--{inner}--",
        "",
        f"--{outer}--",
        "",
    ]


texts = st.text(st.characters(codec="utf-8"), max_size=20) | st.sampled_from(
    ["\r\n--batch_1\r\n", "\n\n", "--changeset_1--", "HTTP/1.1 200 OK"]
)
addresses = texts.map(lambda key: odata.address(SERVICE, "MaterialBOMItem", Material=key, Plant=""))
tags = st.just("") | st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1)
writes = st.one_of(
    st.builds(odata.post, addresses, st.builds(item, texts)),
    st.builds(odata.patch, addresses, st.builds(item, texts), tags),
    st.builds(odata.delete, addresses, tags),
)


@given(st.lists(writes, min_size=1, max_size=8))
def test_somebody_elses_parser_finds_the_same_writes_in_the_same_order(
    requests: Sequence[Request],
) -> None:
    made = batch.change_set(SERVICE, requests)
    assert writes_of(made) == tuple(requests)
    assert batch.change_set(SERVICE, requests) == made
    for boundary in boundaries_of(made):
        assert not any(boundary.encode() in (request.body or b"") for request in requests)


@pytest.mark.parametrize("tag", ["W/1\r\nX-Evil: 1", "W/1\n", "W/\x00", "W/é"])
def test_a_tag_that_would_be_more_than_its_header_is_not_sent(tag: str) -> None:
    with pytest.raises(Misconfigured, match="header-malformed") as refused:
        batch.change_set(SERVICE, [odata.delete(f"{ITEMS}('1')", tag)])
    assert refused.value.where == f"{ITEMS}('1')"
    assert "\n" not in refused.value.what


# --- answers ---


def seen(*answers: Response) -> list[tuple[int, bytes]]:
    return [(answer.status, answer.body) for answer in answers]


@pytest.mark.parametrize("ends", ["\r\n", "\n"])
def test_each_write_has_its_answer(ends: str) -> None:
    answer = in_batch(carried_out(ADDED, DONE, DONE, ends=ends), ends=ends)
    assert batch.is_answer(answer)
    found = batch.read(answer)
    assert seen(*found) == seen(ADDED, DONE, DONE)
    assert found[0].headers["etag"] == "W/\"'2'\""


def test_a_set_that_was_refused_has_one_answer() -> None:
    (found,) = batch.read(in_batch(http(REFUSED)))
    assert seen(found) == seen(REFUSED)
    assert found.headers["content-type"] == "application/json"


ODD = f"""\
This is for readers of mail.
--"odd" boundary \t
content-TYPE:multipart/mixed;charset=utf-8 ; Boundary={INNER} ; x=y

nothing of interest
--{INNER}
CONTENT-type :  application/http; msgtype=response
X-Long: one
 and two


HTTP/1.1 204
SAP-Message: {{"message":
\t"checked"}}
sap-message: twice
--{INNER}
content-type: Application/HTTP

HTTP/1.0 201 Created: what you wanted
Content-Length: 2

{{"d":{{}}}}
--{INNER}--
--{INNER}
none any more
--"odd" boundary--
Good bye"""


def test_an_answer_may_be_spelled_otherwise() -> None:
    kind = 'Multipart/Mixed; boundary="odd boundary"'
    body = ODD.replace('"odd" boundary', "odd boundary").encode()
    found = batch.read(Response(200, {"content-type": kind}, body))
    assert seen(*found) == [(204, b""), (201, b'{"d":{}}')]
    assert found[0].headers == {"sap-message": '{"message": "checked"}, twice'}


WHOLE = in_batch(carried_out(ADDED, DONE))
KIND = f"multipart/mixed; boundary={OUTER}"


def odd(*parts: bytes, kind: str = KIND) -> Response:
    return Response(202, {"content-type": kind}, multipart(OUTER, *parts))


def inside(part: bytes) -> Response:
    """A change set that is answered by this part."""
    head = f"Content-Type: multipart/mixed; boundary={INNER}\r\n\r\n".encode()
    return odd(head + multipart(INNER, part))


@pytest.mark.parametrize(
    ("response", "says"),
    [
        (odd(http(DONE), kind="multipart/mixed"), "does not say where its parts begin"),
        (odd(http(DONE), kind=f"{KIND[:-1]}9"), "it has no parts"),
        (odd(http(DONE), kind=f'{KIND[:26]}"{"x" * 71}"'), "does not say where its parts begin"),
        (odd(), "it has no parts"),
        (odd(http(DONE), http(DONE)), "2 answers to one change set"),
        (odd(b""), "a part is no answer"),
        (odd(b"Content-Type: text/html\r\n\r\n<html>"), "a part is no answer"),
        (odd(b"Content-Type: application/http\r\n\r\n"), "has no status"),
        (odd(b"Content-Type: application/http\r\n\r\nHTTP/1.1 OK\r\n\r\n"), "has no status"),
        (odd(b"Content-Type: application/http\r\n\r\nHTTP/1.1 999 X\r\n\r\n"), "has no status"),
        (odd(b"Content-Type\r\n\r\n"), "a header without a value"),
        (odd(b"X: " + b"x" * 20_000 + b"\r\n\r\n"), "headers of a part are too long"),
        (odd(b"x" * 20_000), "headers of a part are too long"),
        (odd(carried_out()), "it has no parts"),
        (inside(carried_out(DONE)), "a part is no answer"),
        (in_batch(carried_out(*(DONE,) * 201)), "more than 200 parts"),
        (odd(*(http(DONE),) * 201), "more than 200 parts"),
        (Response(202, {"content-type": KIND}, b" " * (2 * 1024**2 + 1)), "has no content"),
        (Response(202, {"content-type": KIND}, b"x" * (2 * 1024**2 + 1)), "has 2097153 bytes"),
        (Response(202, {"content-type": KIND}, b""), "has no content"),
    ],
)
def test_what_is_no_answer_to_a_change_set_is_in_doubt(response: Response, says: str) -> None:
    with pytest.raises(InDoubt, match="answer-unusable") as doubt:
        batch.read(response)
    assert says in doubt.value.what


@given(st.integers(0, len(WHOLE.body) - 3))
def test_an_answer_that_is_cut_off_is_in_doubt_wherever_it_ends(end: int) -> None:
    with pytest.raises(InDoubt):
        batch.read(Response(202, WHOLE.headers, WHOLE.body[:end]))


@given(
    st.integers(0, len(WHOLE.body)),
    st.integers(0, 40),
    st.binary(max_size=40)
    | st.sampled_from([b"\r\n", f"\n--{OUTER}\n".encode(), f"--{INNER}--".encode(), b"\n\n"]),
)
def test_a_damaged_answer_is_read_or_in_doubt(begin: int, length: int, junk: bytes) -> None:
    body = WHOLE.body[:begin] + junk + WHOLE.body[begin + length :]
    try:
        found = batch.read(Response(202, WHOLE.headers, body))
    except InDoubt:
        return
    assert all(100 <= answer.status <= 599 for answer in found)


@given(st.binary(max_size=200), st.text(max_size=60))
def test_garbage_is_in_doubt(body: bytes, boundary: str) -> None:
    kind = f"multipart/mixed; boundary={boundary}"
    with pytest.raises(InDoubt):
        batch.read(Response(202, {"content-type": kind}, body))


def test_parts_in_parts_without_an_end_are_in_doubt() -> None:
    part = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
    body = b"--b\r\n" + part * 40_000
    answer = Response(202, {"content-type": "multipart/mixed; boundary=b"}, body)
    with pytest.raises(InDoubt):
        batch.read(answer)


@pytest.mark.parametrize(
    ("status", "kind", "is_one"),
    [
        (202, "multipart/mixed; boundary=x", True),
        (200, " Multipart/MIXED ;boundary=x", True),
        (202, "multipart/form-data; boundary=x", False),
        (202, "application/json", False),
        (200, "text/html", False),
        (500, "multipart/mixed; boundary=x", False),
        (202, "", False),
    ],
)
def test_an_answer_in_parts_is_told_by_its_status_and_its_content_type(
    status: int, kind: str, is_one: bool
) -> None:
    assert batch.is_answer(Response(status, {"content-type": kind}, b"")) is is_one


ONE_ONLY = "Default changeset implementation allows only one operation"


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (400, f'{{"error":{{"code":"","message":{{"value":"{ONE_ONLY}"}}}}}}', ONE_ONLY),
        (500, f"<error><message>{ONE_ONLY}</message></error>", "no words of its own"),
        (400, "Content referencing is only allowed for changeset at once", "changeset at once"),
    ],
)
def test_a_service_that_takes_one_change_a_call_says_what_to_set(
    status: int, body: str, says: str
) -> None:
    with pytest.raises(Misconfigured, match="change-sets-refused") as refused:
        batch.check_taken(Response(status, JSON, body.encode()))
    assert says in refused.value.what
    assert "change_sets = false" in refused.value.remedy


def test_any_other_answer_is_not_about_change_sets() -> None:
    batch.check_taken(REFUSED)
    batch.check_taken(Response(201, JSON, b'{"d":{"Material":"CHANGESET"}}'))
