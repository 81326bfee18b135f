"""An Arena user logs in once for all calls, and again when the session is over."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

import pytest

from broker.channels.auth import FORCED_RENEWAL_PAUSE_S, LoginSession
from canonical.errors import Misconfigured, Unavailable
from canonical.exchange import Request, Response
from handlers.systems.arena.access import ACCESS

READ = Request("GET", "/changes/C1", effectful=False)


class Arena:
    """Gives out sessions by number; the newest is good. answer: what it says instead."""

    def __init__(self, status: int = 200, answer: bytes | None = None) -> None:
        self.status = status
        self.answer = answer
        self.logins: list[tuple[str, str, object]] = []

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Response:
        await asyncio.sleep(0)
        self.logins.append((method, url, json.loads(body or b"")))
        session = f"LABS-{len(self.logins)}|"
        answer = {"arena_session_id": session, "workspaceId": 7, "workspaceRequestLimit": 1000}
        said = json.dumps(answer).encode() if self.answer is None else self.answer
        return Response(self.status, {}, said)


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def session(clock: Clock | None = None, workspace: str = "123456789") -> LoginSession:
    return LoginSession(
        login=ACCESS,
        user="a@b.example",
        password=lambda: "hidden",
        tenant=workspace,
        clock=clock or Clock(),
    )


def refused(status: int, code: int) -> Response:
    body = {"status": status, "errors": [{"code": code, "message": "no"}]}
    return Response(status, {}, json.dumps(body).encode())


async def test_calls_at_once_share_one_login() -> None:
    arena, policy = Arena(), session()
    told = await asyncio.gather(*(policy.headers(READ, arena.send) for _ in range(5)))
    assert told == [{"arena_session_id": "LABS-1|"}] * 5
    login = {"email": "a@b.example", "password": "hidden", "workspaceId": 123456789}
    assert arena.logins == [("POST", "/login", login)]


async def test_without_a_workspace_the_last_one_is_taken() -> None:
    arena = Arena()
    await session(workspace="").headers(READ, arena.send)
    assert arena.logins[0][2] == {"email": "a@b.example", "password": "hidden"}


@pytest.mark.parametrize("refusal", [Response(401, {}, b""), refused(400, 401)])
async def test_a_session_that_is_over_is_renewed_once(refusal: Response) -> None:
    clock = Clock()
    arena, policy = Arena(), session(clock)
    sent = await policy.headers(READ, arena.send)
    assert policy.is_refusal(refusal, sent)
    again = await policy.headers(READ, arena.send)
    assert again == {"arena_session_id": "LABS-2|"}
    # Somebody takes it away at once: nobody logs in again for a while.
    assert not policy.is_refusal(refusal, again)
    assert await policy.headers(READ, arena.send) == again
    clock.now += FORCED_RENEWAL_PAUSE_S
    assert policy.is_refusal(refusal, again)
    assert await policy.headers(READ, arena.send) == {"arena_session_id": "LABS-3|"}


@pytest.mark.parametrize(
    "response",
    [
        Response(200, {}, b"{}"),
        refused(400, 3011),
        Response(400, {}, b"<html>"),
        Response(400, {}, b"\xff"),
        Response(403, {}, b""),
    ],
)
async def test_other_answers_leave_the_session(response: Response) -> None:
    arena, policy = Arena(), session()
    sent = await policy.headers(READ, arena.send)
    assert not policy.is_refusal(response, sent)


@pytest.mark.parametrize(
    ("status", "failure"), [(400, Misconfigured), (503, Unavailable), (429, Unavailable)]
)
async def test_a_refused_login_is_wrong_credentials_or_a_matter_of_time(
    status: int, failure: type[Exception]
) -> None:
    with pytest.raises(failure) as caught:
        await session().headers(READ, Arena(status).send)
    assert "hidden" not in repr(caught.value)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"arena_session_id": "two words"}', b'{"arena_session_id": 7}']
)
async def test_a_login_without_a_session_is_no_login(body: bytes) -> None:
    with pytest.raises(Unavailable):
        await session().headers(READ, Arena(answer=body).send)


async def test_the_session_may_be_spelled_otherwise() -> None:
    arena = Arena(answer=b'{"arenaSessionId": "LABS-7|", "workspaceId": 7}')
    assert await session().headers(READ, arena.send) == {"arena_session_id": "LABS-7|"}


def test_a_workspace_is_a_number() -> None:
    with pytest.raises(Misconfigured, match="workspace-malformed"):
        session(workspace="Widgets")
