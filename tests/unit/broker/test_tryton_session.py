"""A session of Tryton goes behind the word of its scheme, and is begun anew when it is over."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from broker.channels.auth import LoginSession
from canonical.errors import Failure, Misconfigured, Unavailable
from canonical.exchange import Request, Response
from handlers.systems.tryton.access import ACCESS
from tests.unit.handlers.test_tryton import refusals

READ = Request("POST", "/rpc/", effectful=False)


class Tryton:
    """Gives out sessions of user 5; answer: what it says instead."""

    def __init__(self, answer: Response | None = None) -> None:
        self.answer = answer
        self.logins = 0

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Response:
        assert (method, url) == ("POST", "/rpc/")
        assert json.loads(body or b"")["params"][:2] == ["ada", {"password": "hidden"}]
        self.logins += 1
        granted = {"id": "login", "result": [5, f"token-{self.logins}", None]}
        return self.answer or Response(200, {}, json.dumps(granted).encode())


def session() -> LoginSession:
    return LoginSession(
        login=ACCESS, user="ada", password=lambda: "hidden", tenant="", clock=lambda: 0.0
    )


async def test_the_session_stands_behind_its_scheme_and_is_renewed_once_it_is_over() -> None:
    tryton, policy = Tryton(), session()
    sent = await policy.headers(READ, tryton.send)
    # base64 of layshaft:5:token-1
    assert sent == {"Authorization": "Session bGF5c2hhZnQ6NTp0b2tlbi0x"}
    assert not policy.is_refusal(refusals()["no method"], sent)
    assert await policy.headers(READ, tryton.send) == sent
    assert policy.is_refusal(refusals()["session over"], sent)
    again = await policy.headers(READ, tryton.send)
    assert again == {"Authorization": "Session bGF5c2hhZnQ6NTp0b2tlbi0y"}
    # What was sent with the old one is no reason to begin a third.
    assert policy.is_refusal(refusals()["session over"], sent)
    assert await policy.headers(READ, tryton.send) == again
    assert tryton.logins == 2


@pytest.mark.parametrize(
    ("about", "kind"), [("wrong password", Misconfigured), ("throttled", Unavailable)]
)
async def test_a_login_that_is_refused_is_not_tried_again_at_once(
    about: str, kind: type[Failure]
) -> None:
    tryton, policy = Tryton(refusals()[about]), session()
    for _ in range(3):
        with pytest.raises(kind):
            await policy.headers(READ, tryton.send)
    # Tryton closes the login for a while after seven of them.
    assert tryton.logins == 1
