"""Batch requests of the ERP stand-in: what it takes apart, and what it does not take."""

import pytest

from ops.sandbox.batch import Answer, Part, compose, parse_batch
from ops.sandbox.refusal import Refused

KIND = "multipart/mixed; boundary=all"
HEADERS = "Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n"
ADD = "POST A_Product('X')/to_Plant HTTP/1.1\r\nContent-Length: 2\r\nIf-Match: W/\"'1'\"\r\n\r\n{}"
DROP = "DELETE A_Product('X') HTTP/1.1\r\nAccept: application/json\r\n\r\n"


def part(write: str, headers: str = HEADERS) -> str:
    return f"--set\r\n{headers}\r\n{write}\r\n"


def batch(*parts: str, ends: str = "--set--\r\n\r\n--all--\r\n") -> bytes:
    head = "--all\r\nContent-Type: multipart/mixed; boundary=set\r\n\r\n"
    return f"{head}{''.join(parts)}{ends}".encode()


def test_the_writes_of_a_change_set_are_found_in_their_order() -> None:
    assert parse_batch(KIND, batch(part(ADD), part(DROP))) == [
        [
            Part(
                "POST",
                "A_Product('X')/to_Plant",
                {"content-length": "2", "if-match": "W/\"'1'\""},
                b"{}",
            ),
            Part("DELETE", "A_Product('X')", {"accept": "application/json"}, b""),
        ]
    ]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (batch(part(ADD.replace("POST", "GET"))), "GET is not allowed inside a change set"),
        (batch(part(ADD.replace("A_", "/sap/opu/odata/sap/S/A_"))), "is not relative"),
        (batch(part(ADD.replace("A_", "https://erp/S/A_"))), "is not relative"),
        (batch(part(ADD.replace(": 2", ": 3"))), "has 2 bytes, not 3"),
        (batch(part(ADD.replace(" HTTP/1.1", ""))), "does not begin with a request line"),
        (batch(part(ADD, HEADERS[: HEADERS.index("Content-Tr")])), "does not say Content-Transfer"),
        (batch(part(ADD, HEADERS.replace("application", "message"))), "not application/http"),
        (batch(part(ADD, f"{HEADERS}Content-ID: 1\r\n")), "only allowed for changeset at once"),
        (batch(part(ADD, f"{HEADERS}nothing\r\n")), "'nothing' is no header"),
        (batch(part(ADD), ends="--set--\r\n"), "are not set apart by all"),
        (batch(part(ADD), ends="--all--\r\n"), "are not set apart by set"),
        (batch(part(ADD)).replace(b"\r\n", b"\n"), "are not set apart by all"),
        (batch(part(ADD)).replace(b"mixed", b"form-data"), "multipart/mixed is wanted"),
        (batch(), "are not set apart by set"),
        (b"", "are not set apart by all"),
        (b"preamble\r\n" + batch(part(ADD)), "are not set apart by all"),
        (f"--all\r\n{HEADERS}\r\nGET A_Product HTTP/1.1\r\n\r\n\r\n--all--".encode(),
         "multipart/mixed is wanted"),
    ],
)  # fmt: skip
def test_what_is_not_made_as_the_protocol_says_is_refused(body: bytes, says: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_batch(KIND, body)
    assert refused.value.status == 400
    assert says in refused.value.text


@pytest.mark.parametrize("kind", ["", "application/json", "multipart/mixed", f"{KIND}; x=y"])
def test_a_batch_says_where_its_parts_begin(kind: str) -> None:
    with pytest.raises(Refused):
        parse_batch(kind, batch(part(ADD)))


def test_a_set_that_was_carried_out_has_an_answer_for_each_write_and_another_one_for_all() -> None:
    done, refused = Answer(204, {"ETag": "1"}, b""), Answer(400, {"Content-Type": "x/y"}, b"no")
    kind, body = compose([[done, done], refused])
    outer = kind.removeprefix("multipart/mixed; boundary=")
    inner = f"{outer[:-1]}1"
    one = [
        "Content-Type: application/http",
        "Content-Length: 55",
        "content-transfer-encoding: binary",
        "",
        "HTTP/1.1 204 No Content",
        "ETag: 1",
        "Content-Length: 0",
        "",
        "",
    ]
    assert body.decode().split("\r\n") == [
        f"--{outer}",
        f"Content-Type: multipart/mixed; boundary={inner}",
        f"Content-Length: {2 * (len(inner) + 150) + len(inner) + 6:9}",
        "",
        f"--{inner}",
        *one,
        f"--{inner}",
        *one,
        f"--{inner}--",
        "",
        f"--{outer}",
        "Content-Type: application/http",
        "Content-Length: 68",
        "content-transfer-encoding: binary",
        "",
        "HTTP/1.1 400 Bad Request",
        "Content-Type: x/y",
        "Content-Length: 2",
        "",
        "no",
        f"--{outer}--",
        "",
    ]
