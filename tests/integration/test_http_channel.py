"""An HTTP channel says what is true of a call: answered, unsent or in doubt, and sends it once."""

from __future__ import annotations

import asyncio
import gzip
import socket
import time
from base64 import b64decode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import parse_qs

import pytest
from aiohttp import web

from broker.channels.auth import Basic, CsrfSession, OAuth2ClientCredentials
from broker.channels.http import HttpChannel, Limits
from canonical.envelope import Lane
from canonical.errors import InDoubt, InvalidMessage, Misconfigured, Unavailable
from canonical.exchange import Request
from handlers.systems.s4.access import ACCESS
from tests.integration.raw_server import Answer, raw_server
from tests.integration.toy import until

SECRET = "canary-7f3a"
QUICK = Limits(connect_s=1.0, read_s=0.3, total_s=2.0)

READ = Request(method="GET", path="/parts/7", effectful=False)
PUT = Request(method="PUT", path="/parts/7", body=b'{"unit":"KG"}')
POST = Request(method="POST", path="/parts", body=b'{"number":"7"}')


@asynccontextmanager
async def web_server(
    handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
) -> AsyncIterator[str]:
    runner = web.ServerRunner(web.Server(handler))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


def answering(text: bytes) -> Answer:
    async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        await writer.drain()

    return answer


async def hang(request: bytes, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def drop(request: bytes, writer: asyncio.StreamWriter) -> None:
    writer.close()


# What is known of a call


async def test_the_answer_comes_back_as_values_and_without_credentials() -> None:
    text = (
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nETag: W/1\r\nX-CSRF-Token: t\r\n"
        b"Set-Cookie: s=1\r\nWarning: a\r\nwarning: b\r\n\r\nnope"
    )
    async with raw_server(answering(text)) as (server, url), HttpChannel(base_url=url) as channel:
        response = await channel.perform(
            Request(
                method="GET",
                path="/A_Supplier('17 100')/to_X".replace(" ", "%20"),
                query=(("$filter", "Name eq 'R&D'"), ("$top", "1")),
                headers=(("If-Match", "W/0"),),
                effectful=False,
            )
        )
    assert (response.status, response.body) == (404, b"nope")
    assert response.headers == {"content-length": "4", "etag": "W/1", "warning": "a, b"}
    line, _, rest = server.requests[0].partition(b"\r\n")
    assert line == (b"GET /A_Supplier('17%20100')/to_X?$filter=Name%20eq%20'R%26D'&$top=1 HTTP/1.1")
    assert b"If-Match: W/0\r\n" in rest


async def test_an_effect_whose_answer_does_not_come_is_in_doubt_within_the_deadline() -> None:
    async with (
        raw_server(hang) as (server, url),
        HttpChannel(base_url=url, limits=QUICK) as channel,
    ):
        start = time.monotonic()
        with pytest.raises(InDoubt) as caught:
            await channel.perform(POST)
    assert time.monotonic() - start < 1.5
    assert (caught.value.code, caught.value.where) == ("answer-lost", "POST /parts")
    assert len(server.requests) == 1


async def test_slow_calls_of_lower_lanes_leave_room_for_a_critical_one() -> None:
    async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        if not request.startswith(b"GET /urgent"):
            await asyncio.Event().wait()
        await answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")(request, writer)

    limits = Limits(total_s=30.0, parallel=4)
    urgent = Request(method="GET", path="/urgent", effectful=False)
    async with (
        raw_server(answer) as (server, url),
        HttpChannel(base_url=url, limits=limits) as channel,
    ):
        lanes: tuple[Lane, ...] = ("standard", "enrichment") * 5
        slow = [asyncio.create_task(channel.perform(READ, lane=lane)) for lane in lanes]

        async def are_under_way() -> bool:
            return len(server.requests) == 3

        await until(are_under_way, "lower lanes have what is theirs")
        async with asyncio.timeout(5):
            response = await channel.perform(urgent, lane="critical")
        assert response.status == 200
        assert len(server.requests) == 4
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)


async def test_the_total_deadline_cuts_an_answer_that_drips() -> None:
    async def drip(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b".")
            await writer.drain()
            await asyncio.sleep(0.05)

    limits = Limits(connect_s=1.0, read_s=0.3, total_s=0.6)
    async with raw_server(drip) as (_, url), HttpChannel(base_url=url, limits=limits) as channel:
        with pytest.raises(InDoubt, match=r"no answer in 0\.6 s"):
            await channel.perform(PUT)


async def test_a_lost_answer_to_a_read_is_unavailable() -> None:
    async with (
        raw_server(drop) as (server, url),
        HttpChannel(base_url=url, limits=QUICK) as channel,
    ):
        with pytest.raises(Unavailable) as caught:
            await channel.perform(READ)
    assert caught.value.code == "answer-lost"
    assert len(server.requests) == 1


async def test_a_refused_connection_is_unavailable_and_nothing_was_sent() -> None:
    async with raw_server(hang) as (_, url):
        pass
    async with HttpChannel(base_url=url) as channel:
        with pytest.raises(Unavailable) as caught:
            await channel.perform(POST)
    assert caught.value.code == "target-unreachable"


async def test_a_name_that_does_not_resolve_is_unavailable() -> None:
    async with HttpChannel(base_url="http://erp.invalid") as channel:
        with pytest.raises(Unavailable) as caught:
            await channel.perform(POST)
    assert caught.value.code == "target-unreachable"


@pytest.mark.parametrize(
    "text",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"not HTTP at all\r\n\r\n",
    ],
)
async def test_a_truncated_or_broken_answer_leaves_an_effect_in_doubt(text: bytes) -> None:
    async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        writer.close()

    async with raw_server(answer) as (server, url), HttpChannel(base_url=url) as channel:
        with pytest.raises(InDoubt):
            await channel.perform(PUT)
    assert len(server.requests) == 1


async def test_waiting_for_a_slot_counts_against_the_deadline_and_sends_nothing() -> None:
    none_free = Limits(total_s=0.2, parallel=0)
    async with (
        raw_server(hang) as (server, url),
        HttpChannel(base_url=url, limits=none_free) as channel,
    ):
        with pytest.raises(Unavailable) as caught:
            await channel.perform(POST)
    assert caught.value.code == "target-unreachable"
    assert server.requests == []


# What is not done


@pytest.mark.parametrize("request_", [PUT, READ], ids=["PUT", "GET"])
async def test_a_request_is_sent_once_even_if_the_server_drops_the_connection(
    request_: Request,
) -> None:
    async with raw_server(drop) as (server, url), HttpChannel(base_url=url) as channel:
        with pytest.raises((InDoubt, Unavailable)):
            await channel.perform(request_)
    assert len(server.requests) == 1


async def test_effects_never_go_over_a_used_connection() -> None:
    async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with raw_server(answer) as (server, url), HttpChannel(base_url=url) as channel:
        for request in (PUT, PUT, READ, READ):
            assert (await channel.perform(request)).status == 204
    assert len(server.requests) == 4
    assert server.connections == 3  # One for each effect, one for both reads.


async def test_a_redirect_is_an_answer() -> None:
    text = b"HTTP/1.1 307 Go\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
    async with raw_server(answering(text)) as (server, url), HttpChannel(base_url=url) as channel:
        response = await channel.perform(POST)
    assert (response.status, response.headers["location"]) == (307, "/elsewhere")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "text",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b"." * 2000,
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nzip",
    ],
    ids=["oversize", "encoded"],
)
async def test_an_answer_too_large_or_compressed_is_not_taken_in(text: bytes) -> None:
    limits = Limits(response_bytes=1000)
    async with (
        raw_server(answering(text)) as (server, url),
        HttpChannel(base_url=url, limits=limits) as channel,
    ):
        with pytest.raises(InDoubt) as in_doubt:
            await channel.perform(PUT)
        with pytest.raises(InvalidMessage) as invalid:
            await channel.perform(READ)
    assert in_doubt.value.code == invalid.value.code == "answer-unusable"
    assert b"Accept-Encoding: identity\r\n" in server.requests[0]


PACKED = Request("POST", "/parts", headers=(("Accept-Encoding", "gzip"),), effectful=False)


def packed(body: bytes, *, said: bytes = b"gzip") -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\nContent-Length: %d\r\n\r\n%b" % (
        said,
        len(body),
        body,
    )


async def test_gzip_is_taken_in_where_the_request_asks_for_it() -> None:
    text = packed(gzip.compress(b"." * 900))
    async with (
        raw_server(answering(text)) as (server, url),
        HttpChannel(base_url=url, limits=Limits(response_bytes=1000)) as channel,
    ):
        assert (await channel.perform(PACKED)).body == b"." * 900
    assert b"Accept-Encoding: gzip\r\n" in server.requests[0]


@pytest.mark.parametrize(
    "text",
    [
        packed(gzip.compress(b"." * 1_001)),
        packed(gzip.compress(b"." * 10_000_000)),
        packed(gzip.compress(b"." * 900)[:-9]),
        packed(b'{"plain": "and said to be gzip"}'),
        packed(b""),
        packed(gzip.compress(b"."), said=b"br"),
    ],
    ids=["longer", "bomb", "broken", "plain", "empty", "another"],
)
async def test_gzip_that_is_none_or_holds_too_much_is_not_taken_in(text: bytes) -> None:
    limits = Limits(response_bytes=1000)
    async with (
        raw_server(answering(text)) as (_, url),
        HttpChannel(base_url=url, limits=limits) as channel,
    ):
        with pytest.raises(InvalidMessage) as invalid:
            await channel.perform(PACKED)
    assert invalid.value.code == "answer-unusable"


async def test_cookies_are_not_kept_without_a_session_policy() -> None:
    text = b"HTTP/1.1 200 OK\r\nSet-Cookie: s=1\r\nContent-Length: 0\r\n\r\n"
    async with raw_server(answering(text)) as (server, url), HttpChannel(base_url=url) as channel:
        await channel.perform(READ)
        await channel.perform(READ)
    assert b"cookie" not in server.requests[1].lower()


@pytest.mark.parametrize(
    "path", ["parts", "/a/../b", "/a/%2e%2E/b", "/a b", "/a?b", "/ä", "/%zz", "/a\r\nb"]
)
async def test_a_path_cannot_leave_the_base_url(path: str) -> None:
    async with HttpChannel(base_url="http://127.0.0.1:9/odata") as channel:
        with pytest.raises(InvalidMessage) as caught:
            await channel.perform(Request(method="GET", path=path, effectful=False))
    assert caught.value.code == "request-path"


@pytest.mark.parametrize("base_url", ["erp", "ftp://erp", "http://me:secret@erp", "http://erp?x=1"])
def test_a_base_url_is_checked_and_its_credentials_are_not_repeated(base_url: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        HttpChannel(base_url=base_url)
    assert "secret" not in str(caught.value)


# Fail points


@pytest.mark.parametrize("effect", [POST, Request(method="DELETE", path="/parts/7")])
async def test_at_the_first_fail_point_the_last_byte_has_left_and_nothing_was_read(
    effect: Request,
) -> None:
    seen: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(2)

        def fail_point(name: str) -> None:
            # Blocks the event loop: what the peer gets here had been written before.
            seen.append(name)
            if name == "http.after_send":
                peer, _ = listener.accept()
                with peer:
                    peer.settimeout(2)
                    while not received.endswith(effect.body or b"\r\n\r\n"):
                        received.extend(peer.recv(4096))
                    peer.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

        received = bytearray()
        host, port = listener.getsockname()
        async with HttpChannel(base_url=f"http://{host}:{port}", fail_point=fail_point) as channel:
            assert (await channel.perform(effect)).status == 204
    assert seen == ["http.after_send", "http.after_response"]


async def test_reads_pass_no_fail_point() -> None:
    seen: list[str] = []
    text = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    async with (
        raw_server(answering(text)) as (_, url),
        HttpChannel(base_url=url, fail_point=seen.append) as channel,
    ):
        await channel.perform(READ)
    assert seen == []


async def test_an_error_at_the_fail_point_is_the_callers() -> None:
    def fail_point(name: str) -> None:
        raise RuntimeError(name)

    async with (
        raw_server(hang) as (_, url),
        HttpChannel(base_url=url, fail_point=fail_point) as channel,
    ):
        with pytest.raises(RuntimeError, match=r"http\.after_send"):
            await channel.perform(PUT)


# Credentials


class S4Stub:
    """An SAP gateway: one session at a time, its CSRF token asked for by every change."""

    def __init__(self) -> None:
        self.session = 1
        self.fetches: list[str] = []
        self.changes: list[str] = []
        self.head_allowed = True

    async def handle(self, request: web.BaseRequest) -> web.Response:
        assert b64decode(request.headers["Authorization"].removeprefix("Basic ")) == (
            f"user:{SECRET}".encode()
        )
        if request.headers.get("x-csrf-token") == "Fetch":
            self.fetches.append(request.method)
            if request.method == "HEAD" and not self.head_allowed:
                return web.Response(status=405)
            response = web.Response(headers={"x-csrf-token": f"token-{self.session}"})
            response.set_cookie("SAP_SESSIONID", f"session-{self.session}")
            return response
        if request.method == "GET":
            return web.Response()
        self.changes.append(await request.text())
        valid = (
            request.headers.get("x-csrf-token") == f"token-{self.session}"
            and request.cookies.get("SAP_SESSIONID") == f"session-{self.session}"
        )
        if not valid:
            return web.Response(status=403, headers={"x-csrf-token": "Required"})
        return web.Response(status=201)


def s4_session() -> CsrfSession:
    return CsrfSession(tokens=ACCESS, user="user", password=lambda: SECRET, token_path="/service/")


async def test_a_csrf_token_is_fetched_once_for_calls_that_change_something() -> None:
    stub = S4Stub()
    async with (
        web_server(stub.handle) as url,
        HttpChannel(base_url=url, auth=s4_session()) as channel,
    ):
        await channel.perform(READ)
        assert stub.fetches == []
        answers = await asyncio.gather(*(channel.perform(POST) for _ in range(10)))
    assert [answer.status for answer in answers] == [201] * 10
    assert stub.fetches == ["HEAD"]


async def test_an_ended_sap_session_is_renewed_and_the_refused_call_repeated_once() -> None:
    stub = S4Stub()
    async with (
        web_server(stub.handle) as url,
        HttpChannel(base_url=url, auth=s4_session()) as channel,
    ):
        await channel.perform(POST)
        stub.session = 2
        answers = await asyncio.gather(*(channel.perform(POST) for _ in range(3)))
    assert [answer.status for answer in answers] == [201] * 3
    assert stub.fetches == ["HEAD", "HEAD"]
    assert len(stub.changes) == 1 + 2 * 3


async def test_a_gateway_without_head_gets_a_get() -> None:
    stub = S4Stub()
    stub.head_allowed = False
    async with (
        web_server(stub.handle) as url,
        HttpChannel(base_url=url, auth=s4_session()) as channel,
    ):
        assert (await channel.perform(POST)).status == 201
    assert stub.fetches == ["HEAD", "GET"]


async def test_a_call_refused_for_good_is_repeated_once_only() -> None:
    calls: list[str] = []

    async def refuse(request: web.BaseRequest) -> web.Response:
        calls.append(request.method)
        if request.method == "HEAD":
            return web.Response(headers={"x-csrf-token": "t"})
        return web.Response(status=403, headers={"x-csrf-token": "Required"})

    async with (
        web_server(refuse) as url,
        HttpChannel(base_url=url, auth=s4_session()) as channel,
    ):
        assert (await channel.perform(POST)).status == 403
    assert calls == ["HEAD", "POST", "HEAD", "POST"]


class OAuthStub:
    """A token endpoint and a resource that takes the newest token only."""

    def __init__(self) -> None:
        self.grants = 0
        self.token_status = 200
        self.accepted = ""
        self.forms: list[dict[str, list[str]]] = []
        self.calls = 0

    async def handle(self, request: web.BaseRequest) -> web.Response:
        if request.path == "/token":
            self.grants += 1
            self.forms.append(parse_qs(await request.text()))
            self.accepted = f"token-{self.grants}"
            grant = {"access_token": self.accepted, "expires_in": "3600", "token_type": "bearer"}
            return web.json_response(grant, status=self.token_status, headers={"Retry-After": "7"})
        self.calls += 1
        passed = request.headers["Authorization"] == f"Bearer {self.accepted}"
        return web.Response(status=200 if passed else 401)


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def oauth_channel(
    stub: OAuthStub, clock: Clock, *, secret_in_body: bool = False
) -> AsyncIterator[HttpChannel]:
    async with web_server(stub.handle) as url:
        auth = OAuth2ClientCredentials(
            token_url=f"{url}/token",
            client_id="layshaft",
            client_secret=lambda: SECRET,
            scope="parts",
            secret_in_body=secret_in_body,
            clock=clock,
            spread=lambda: 0.0,
        )
        async with HttpChannel(base_url=url, auth=auth) as channel:
            yield channel


async def test_ten_calls_at_once_fetch_one_token() -> None:
    stub = OAuthStub()
    async with oauth_channel(stub, Clock()) as channel:
        answers = await asyncio.gather(*(channel.perform(POST) for _ in range(10)))
    assert [answer.status for answer in answers] == [200] * 10
    assert stub.grants == 1
    assert stub.forms == [{"grant_type": ["client_credentials"], "scope": ["parts"]}]


async def test_the_secret_may_travel_in_the_body() -> None:
    stub = OAuthStub()
    async with oauth_channel(stub, Clock(), secret_in_body=True) as channel:
        await channel.perform(READ)
    assert stub.forms[0]["client_secret"] == [SECRET]


async def test_a_token_is_renewed_at_80_percent_of_its_life() -> None:
    stub, clock = OAuthStub(), Clock()
    async with oauth_channel(stub, clock) as channel:
        await channel.perform(READ)
        clock.now += 0.79 * 3600
        await channel.perform(READ)
        assert stub.grants == 1
        clock.now += 0.02 * 3600
        await channel.perform(READ)
        assert stub.grants == 2


async def test_a_401_forces_one_new_token_and_one_repetition() -> None:
    stub = OAuthStub()
    async with oauth_channel(stub, Clock()) as channel:
        await channel.perform(READ)
        stub.accepted = "revoked"
        assert (await channel.perform(POST)).status == 200
    assert (stub.grants, stub.calls) == (2, 3)


async def test_a_target_that_refuses_every_token_causes_no_storm_of_fetches() -> None:
    stub, clock = OAuthStub(), Clock()

    async def refuse(request: web.BaseRequest) -> web.Response:
        response = await stub.handle(request)
        return response if request.path == "/token" else web.Response(status=401)

    async with web_server(refuse) as url:
        auth = OAuth2ClientCredentials(
            token_url=f"{url}/token",
            client_id="layshaft",
            client_secret=lambda: SECRET,
            clock=clock,
        )
        async with HttpChannel(base_url=url, auth=auth) as channel:
            for _ in range(5):
                assert (await channel.perform(READ)).status == 401
            assert stub.grants == 2
            clock.now += 31
            assert (await channel.perform(READ)).status == 401
            assert stub.grants == 3


async def test_a_failing_token_server_is_asked_once_in_30_seconds() -> None:
    stub, clock = OAuthStub(), Clock()
    stub.token_status = 503
    async with oauth_channel(stub, clock) as channel:
        outcomes = await asyncio.gather(
            *(channel.perform(POST) for _ in range(10)), return_exceptions=True
        )
        assert [type(outcome) for outcome in outcomes] == [Unavailable] * 10
        assert {getattr(outcome, "retry_after_s", None) for outcome in outcomes} == {7.0}
        assert (stub.grants, stub.calls) == (1, 0)
        stub.token_status = 200
        clock.now += 29
        with pytest.raises(Unavailable):
            await channel.perform(POST)
        clock.now += 2
        assert (await channel.perform(POST)).status == 200


async def test_an_old_token_serves_while_it_lasts_and_no_new_one_can_be_had() -> None:
    stub, clock = OAuthStub(), Clock()
    async with oauth_channel(stub, clock) as channel:
        await channel.perform(READ)
        stub.token_status = 503
        clock.now += 0.9 * 3600
        stub.grants = 0  # The failing endpoint would hand out "token-1" again.
        assert (await channel.perform(READ)).status == 200
        clock.now += 0.2 * 3600
        with pytest.raises(Unavailable):
            await channel.perform(READ)


async def test_wrong_credentials_are_a_configuration_failure() -> None:
    stub = OAuthStub()
    stub.token_status = 401
    async with oauth_channel(stub, Clock()) as channel:
        with pytest.raises(Misconfigured) as caught:
            await channel.perform(POST)
    assert caught.value.code == "access-token"
    assert SECRET not in repr(caught.value) + str(caught.value)


async def test_no_secret_stands_in_a_repr() -> None:
    stub = OAuthStub()
    async with oauth_channel(stub, Clock()) as channel:
        await channel.perform(READ)
        policy = channel._auth
        shown = [repr(channel), repr(policy), repr(vars(channel)), repr(vars(policy))]
        shown += [repr(vars(Basic(user="user", password=lambda: SECRET)))]
    assert not any(SECRET in text or "token-1" in text for text in shown)
