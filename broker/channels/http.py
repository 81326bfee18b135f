"""Performing a `Request` over HTTP, and saying what is known of its fate.

One channel a system. A request is sent once (aiohttp by itself sends idempotent methods again), and
a second time only where the target refused the first for its credentials. Retrying is the row's
business.
"""

from __future__ import annotations

import asyncio
import inspect
import re
import ssl
import zlib
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from types import SimpleNamespace, TracebackType
from typing import Final, Protocol, Self
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from broker.channels.auth import Anonymous, AuthPolicy
from broker.channels.slots import Slots
from canonical.envelope import Lane
from canonical.errors import Failure, InDoubt, InvalidMessage, Misconfigured, Unavailable
from canonical.exchange import Request, Response

FailPoint = Callable[[str], Awaitable[None] | None]
"""Called with the name of a boundary that was reached; tests stop, delay or kill there.

"http.after_send": the last byte of an effectful request is written, none of the answer read.
"http.after_response": its answer is complete. "token.after_fetch": the policy has its own answer.
"""

_PATH: Final = re.compile(r"/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})*")
_DOTS: Final = re.compile(r"(?i)(?:\.|%2e){1,2}")
_QUERY_SAFE: Final = "$'(),:/@;*!~"
"""Left as they are in a query: OData writes $filter=Supplier eq '17100001'."""

_GZIP: Final = "gzip"
_KEPT_BACK: Final = frozenset({"set-cookie", "x-csrf-token"})
"""Answer headers that are credentials: for the policy, not for the log of calls."""


class Admission(Protocol):
    """Whether a request may be sent now."""

    async def take(self, path: str, lane: Lane) -> None:
        """Called right before it is sent, which waits for it; what it raises is the fate of the
        request, which is not sent then."""

    def hear(self, response: Response) -> None:
        """Called with every complete answer."""


class Limits(msgspec.Struct, frozen=True):
    """Deadlines in seconds and sizes in bytes of one channel.

    total_s: for everything a call takes, also the wait for a free slot and for a token. A lease on
    the call has to be longer.
    parallel: calls under way at once.
    """

    connect_s: float = 3.0
    read_s: float = 15.0
    total_s: float = 30.0
    response_bytes: int = 2 * 1024**2
    parallel: int = 8


class _Sending:
    """Whether bytes of a request may have left; what a deadline finds when it strikes.

    admitted: waits until one may be sent now; raises where it may not.
    """

    __slots__ = ("admitted", "sent")

    def __init__(self) -> None:
        self.sent = False
        self.admitted: Callable[[], Awaitable[None]] | None = None


class _Dropped(aiohttp.ClientError):
    """The connection broke under a request; not a class that makes aiohttp send it again."""


class HttpChannel:
    """Performs requests against one base URL; opens connections when the first one comes.

    Cookies are not kept unless the policy's session lives in them; redirects are not followed,
    proxies and netrc of the environment are not used. Answers are asked for as they are, and with
    gzip by a request whose own headers say so; one that is compressed in any other way is refused.
    """

    def __init__(
        self,
        *,
        base_url: str,
        auth: AuthPolicy | None = None,
        limits: Limits | None = None,
        tls: ssl.SSLContext | None = None,
        fail_point: FailPoint | None = None,
        admission: Admission | None = None,
    ) -> None:
        """tls: for a private certificate authority. fail_point, admission: see there.

        Raises: Misconfigured if `base_url` is not http(s)://host[:port][/path].
        """
        _check_base(base_url)
        self._base = base_url.rstrip("/")
        self._auth: AuthPolicy = auth or Anonymous()
        self._limits = limits or Limits()
        self._tls = tls
        self._fail_point = fail_point
        self._admission = admission
        self._slots = Slots(self._limits.parallel)
        self._reads: aiohttp.ClientSession | None = None
        self._effects: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """No connection is open any more; calls under way fail as lost."""
        for session in (self._reads, self._effects):
            if session is not None:
                await session.close()
        self._reads = self._effects = None

    async def perform(self, request: Request, *, lane: Lane = "standard") -> Response:
        """The target's complete answer, whatever its status. lane: whose calls it is one of.

        If the process dies under it, or the caller cancels it, the call is in doubt.
        Raises: Unavailable if nothing was sent, or the answer to a mere read got lost; InDoubt if
        an effectful request was sent and no complete answer came; InvalidMessage if the path is
        malformed or the answer to a read unusable; Misconfigured for wrong credentials.
        """
        url = self._url(request.path, request.query)
        sending = _Sending()
        try:
            async with asyncio.timeout(self._limits.total_s):
                response = await self._authorized(request, url, sending, lane)
        except TimeoutError as error:
            raise _fate(request, sending, f"no answer in {self._limits.total_s:g} s") from error
        return _without_credentials(response)

    async def _authorized(
        self, request: Request, url: URL, sending: _Sending, lane: Lane
    ) -> Response:
        """The answer; where the credentials were refused, the one to new credentials."""
        headers = await self._auth.headers(request, self._send_for_policy)
        response = await self._exchange(request, url, headers, sending, lane)
        if self._auth.is_refusal(response, headers):
            sending.sent = False  # The target said that it did nothing.
            headers = await self._auth.headers(request, self._send_for_policy)
            response = await self._exchange(request, url, headers, sending, lane)
            # Told again, so that the policy knows that new credentials did not help.
            self._auth.is_refusal(response, headers)
        return response

    async def _send_for_policy(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Response:
        """A call of the policy's own, see `broker.channels.auth.Send`."""
        target = self._url(url) if url.startswith("/") else URL(url)
        call = Request(method=method, path=target.raw_path, body=body, effectful=False)
        # Every lane waits for what this brings.
        response = await self._exchange(call, target, headers, _Sending(), "critical")
        if __debug__:
            await self._reach("token.after_fetch")
        return response

    async def _exchange(
        self,
        request: Request,
        url: URL,
        credentials: Mapping[str, str],
        sending: _Sending,
        lane: Lane,
    ) -> Response:
        """One request on the wire and its complete answer."""
        headers = CIMultiDict(request.headers)
        headers.setdefault("Accept-Encoding", "identity")
        headers.update(credentials)
        if self._admission is not None:
            sending.admitted = partial(self._admission.take, url.raw_path, lane)
        async with self._slots.one(lane):
            try:
                async with self._session(request.effectful).request(
                    request.method,
                    url,
                    headers=headers,
                    data=request.body,
                    allow_redirects=False,
                    trace_request_ctx=sending,
                ) as answer:
                    response = await self._read(request, answer)
            except (aiohttp.ClientError, OSError) as error:
                raise _fate(request, sending, _named(error)) from error
        if self._admission is not None:
            self._admission.hear(response)
        if __debug__ and request.effectful:
            await self._reach("http.after_response")
        return response

    async def _read(self, request: Request, answer: aiohttp.ClientResponse) -> Response:
        headers = _lower_case(answer.headers)
        encoding = headers.get("content-encoding", "identity").lower()
        if encoding != "identity" and (encoding != _GZIP or not _takes_gzip(request)):
            raise _unusable(request, f"the answer is encoded as {encoding[:20]!r}")
        plain = _Inflated() if encoding == _GZIP else _AsItIs()
        body = bytearray()
        limit = self._limits.response_bytes
        try:
            async for chunk in answer.content.iter_any():
                body += plain.more(chunk, limit + 1 - len(body))
                if len(body) > limit:
                    raise _unusable(request, f"more than {limit} bytes")
        except zlib.error as error:
            raise _unusable(request, "it says that it is gzip, and is not") from error
        if not plain.is_whole:
            raise _unusable(request, "its gzip breaks off")
        return Response(status=answer.status, headers=headers, body=bytes(body))

    def _session(self, effectful: bool) -> aiohttp.ClientSession:
        if self._reads is None or self._effects is None:
            jar = (
                # "unsafe" only means that hosts may be IP addresses.
                aiohttp.CookieJar(unsafe=True)
                if self._auth.keeps_cookies
                else aiohttp.DummyCookieJar()
            )
            self._reads = self._open(jar, fresh_connections=False)
            self._effects = self._open(jar, fresh_connections=True)
        return self._effects if effectful else self._reads

    def _open(
        self, jar: aiohttp.abc.AbstractCookieJar, *, fresh_connections: bool
    ) -> aiohttp.ClientSession:
        """fresh_connections: a reused one may be dead, which is only found out by sending."""
        trace = aiohttp.TraceConfig()
        trace.on_request_headers_sent.append(_mark_sent)
        watched = __debug__ and fresh_connections and self._fail_point is not None
        return aiohttp.ClientSession(
            # `_slots` limits; a second queue inside the connector would only hide the wait.
            connector=aiohttp.TCPConnector(
                limit=0,
                force_close=fresh_connections,
                ssl=self._tls if self._tls is not None else True,
            ),
            cookie_jar=jar,
            headers={"User-Agent": "layshaft"},
            timeout=aiohttp.ClientTimeout(
                total=None,  # perform's own deadline also covers tokens and slots.
                connect=self._limits.connect_s,
                sock_connect=self._limits.connect_s,
                sock_read=self._limits.read_s,
            ),
            trust_env=False,
            auto_decompress=False,
            trace_configs=[trace],
            middlewares=(_send_once,),
            request_class=self._watched_request() if watched else aiohttp.ClientRequest,
        )

    def _watched_request(self) -> type[aiohttp.ClientRequest]:
        """aiohttp's request, stopping at the fail point when its last byte has been written."""
        reach = self._reach

        class WatchedRequest(aiohttp.ClientRequest):
            async def send(self, conn: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
                response = await super().send(conn)
                if __debug__:
                    await self.close()  # Waits for the task that writes the body.
                    await reach("http.after_send")
                return response

        return WatchedRequest

    async def _reach(self, name: str) -> None:
        if self._fail_point is not None:
            done = self._fail_point(name)
            if inspect.isawaitable(done):
                await done

    def _url(self, path: str, query: tuple[tuple[str, str], ...] = ()) -> URL:
        """The path below the base URL; it cannot leave it, whatever key stands in it."""
        if not _PATH.fullmatch(path) or any(_DOTS.fullmatch(part) for part in path.split("/")):
            raise InvalidMessage(
                "request-path", "the path is not a percent-encoded path", where=path
            )
        encoded = urlencode(query, quote_via=quote, safe=_QUERY_SAFE)
        return URL(self._base + path + (f"?{encoded}" if encoded else ""), encoded=True)


class _AsItIs:
    """A body that is not compressed."""

    is_whole = True

    def more(self, chunk: bytes, limit: int) -> bytes:
        """The chunk."""
        return chunk


class _Inflated:
    """What a body compressed by gzip holds, and never more of it than there is room for."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)

    @property
    def is_whole(self) -> bool:
        """Whether its end was seen."""
        return self._inflate.eof

    def more(self, chunk: bytes, limit: int) -> bytes:
        """What the chunk adds, at most `limit` bytes of it.

        Raises: zlib.error for what is no gzip.
        """
        return self._inflate.decompress(chunk, limit)


def _takes_gzip(request: Request) -> bool:
    asked = CIMultiDict(request.headers).get("Accept-Encoding", "")
    return _GZIP in asked.lower()


def _check_base(base_url: str) -> None:
    url = URL(base_url)
    plain = not (url.user or url.password or url.raw_query_string or url.raw_fragment)
    if url.scheme not in ("http", "https") or not url.host or not plain:
        raise Misconfigured(
            "base-url",
            "not of the form http(s)://host[:port][/path], without credentials and query",
            where=str(url.with_user(None)) if url.host else "",
        )


async def _send_once(
    request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """aiohttp sends GET, PUT and DELETE again when a connection breaks, fresh or not; not ours."""
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise  # Nothing was sent, and aiohttp does not try again either.
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _Dropped(_named(error)) from error


async def _mark_sent(
    session: aiohttp.ClientSession,
    context: SimpleNamespace,
    parameters: aiohttp.TraceRequestHeadersSentParams,
) -> None:
    """Called just before the first byte is written: early is the safe side.

    The connection is there by then: what is admitted now is sent now.
    """
    sending: _Sending = context.trace_request_ctx
    if sending.admitted is not None:
        await sending.admitted()
    sending.sent = True


def _fate(request: Request, sending: _Sending, why: str) -> Failure:
    """What a request without an answer means."""
    where = f"{request.method} {request.path}"
    if not sending.sent:
        return Unavailable("target-unreachable", f"nothing was sent: {why}", where=where)
    if request.effectful:
        return InDoubt("answer-lost", f"sent, and the answer is unknown: {why}", where=where)
    return Unavailable("answer-lost", f"the answer to a read got lost: {why}", where=where)


def _unusable(request: Request, why: str) -> Failure:
    """An answer that is there and cannot be taken in; reading it again will not help."""
    where = f"{request.method} {request.path}"
    if request.effectful:
        return InDoubt("answer-unusable", f"sent, and the answer is unusable: {why}", where=where)
    return InvalidMessage("answer-unusable", why, where=where)


def _named(error: Exception) -> str:
    """The class of an error: its text may quote what the target sent."""
    return type(error).__name__


def _lower_case(headers: CIMultiDictProxy[str]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in headers.items():
        key = name.lower()
        joined[key] = f"{joined[key]}, {value}" if key in joined else value
    return joined


def _without_credentials(response: Response) -> Response:
    kept = {name: text for name, text in response.headers.items() if name not in _KEPT_BACK}
    return msgspec.structs.replace(response, headers=kept)
