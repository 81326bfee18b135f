"""How a channel proves who it is: policies that hold the credentials a target asks for.

Secrets are passed as functions, read at each use: a rotated one is taken up without a restart, and
none of them stands in an attribute, a repr or a log line.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol
from urllib.parse import quote_plus, urlencode

import msgspec

from canonical.access import CsrfTokens, Login
from canonical.errors import Failure, Misconfigured, Unavailable
from canonical.exchange import Request, Response

Secret = Callable[[], str]

FAILED_FETCH_PAUSE_S: Final = 30.0
"""After a failed fetch nobody asks the token server again for this long."""
FORCED_RENEWAL_PAUSE_S: Final = 30.0
"""A target that refuses fresh tokens gets one new token in this time, not one a request."""
DEFAULT_LIFE_S: Final = 300.0
"""Of a token whose server does not say; RFC 6749 only recommends `expires_in`."""
MAX_LIFE_S: Final = 86_400.0

_TOKEN: Final = re.compile(r"[!-~]{1,8192}")
"""What may go into a header: visible ASCII."""


class Send(Protocol):
    """Sends a call of the policy's own; a lost answer is Unavailable. `url` may be a mere path."""

    async def __call__(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Response: ...


class AuthPolicy(Protocol):
    """What a channel asks about credentials.

    keeps_cookies: the target's session lives in cookies, so the channel has to keep them.
    """

    keeps_cookies: bool

    async def headers(self, request: Request, send: Send) -> dict[str, str]:
        """Headers that let this request pass; fetches what is missing.

        Raises: Unavailable if the credentials cannot be had now, Misconfigured if they are wrong.
        """
        ...

    def is_refusal(self, response: Response, sent: Mapping[str, str]) -> bool:
        """The target refused the headers sent, did nothing, and other headers can be had."""
        ...


class Anonymous:
    """No credentials."""

    keeps_cookies = False

    async def headers(self, request: Request, send: Send) -> dict[str, str]:
        """None."""
        return {}

    def is_refusal(self, response: Response, sent: Mapping[str, str]) -> bool:
        """Never: there is nothing else to offer."""
        return False


class Basic:
    """User and password with each request."""

    keeps_cookies = False

    def __init__(self, *, user: str, password: Secret) -> None:
        self._user = user
        self._password = password

    async def headers(self, request: Request, send: Send) -> dict[str, str]:
        """The Authorization header."""
        return {"Authorization": _basic(self._user, self._password())}

    def is_refusal(self, response: Response, sent: Mapping[str, str]) -> bool:
        """Never: there is nothing else to offer."""
        return False


class CsrfSession:
    """User and password, and for changes the CSRF token of a session kept in cookies."""

    keeps_cookies = True

    def __init__(
        self,
        *,
        tokens: CsrfTokens,
        user: str,
        password: Secret,
        token_path: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """tokens: how the target gives them. token_path: of any service the user may read, below
        the base URL of the channel."""
        self._header = tokens.header.lower()
        self._asks = tokens.asks
        self._refuses = tokens.refuses.lower()
        self._user = user
        self._password = password
        self._token_path = token_path
        # A session may end at any time, on several servers at once: renewals are not held back.
        self._tokens = TokenCache(self._fetch, clock=clock, forced_pause_s=0)

    async def headers(self, request: Request, send: Send) -> dict[str, str]:
        """The Authorization header; with a call that changes something also the CSRF token."""
        headers = {"Authorization": _basic(self._user, self._password())}
        if request.effectful:
            headers[self._header] = await self._tokens.get(send)
        return headers

    def is_refusal(self, response: Response, sent: Mapping[str, str]) -> bool:
        """The session behind the CSRF token has ended, which is checked before anything else."""
        return (
            response.status == 403
            and response.headers.get(self._header, "").lower() == self._refuses
            and self._tokens.drop(sent.get(self._header, ""))
        )

    async def _fetch(self, send: Send) -> Token:
        headers = {
            "Authorization": _basic(self._user, self._password()),
            self._header: self._asks,
            "Accept": "application/json",
        }
        response = await send("HEAD", self._token_path, headers)
        if response.status in (405, 501):
            response = await send("GET", self._token_path, headers)
        token = response.headers.get(self._header, "")
        if response.status != 200 or not _TOKEN.fullmatch(token) or token.lower() == self._refuses:
            raise _not_granted("csrf-token", self._token_path, response)
        return Token(token, None)


class OAuth2ClientCredentials:
    """A bearer token by the client-credentials grant (RFC 6749, 4.4)."""

    keeps_cookies = False

    def __init__(
        self,
        *,
        token_url: str,
        client_id: str,
        client_secret: Secret,
        scope: str = "",
        secret_in_body: bool = False,
        clock: Callable[[], float] = time.monotonic,
        spread: Callable[[], float] = random.random,
    ) -> None:
        """secret_in_body: for servers that do not take the client's credentials by header."""
        self._token_url = token_url
        self._client_id = client_id
        self._client_secret = client_secret
        self._scope = scope
        self._secret_in_body = secret_in_body
        self._tokens = TokenCache(self._fetch, clock=clock, spread=spread)

    async def headers(self, request: Request, send: Send) -> dict[str, str]:
        """The Authorization header."""
        return {"Authorization": f"Bearer {await self._tokens.get(send)}"}

    def is_refusal(self, response: Response, sent: Mapping[str, str]) -> bool:
        """The token is not accepted, and a new one may be."""
        token = sent.get("Authorization", "").removeprefix("Bearer ")
        return response.status == 401 and self._tokens.drop(token)

    async def _fetch(self, send: Send) -> Token:
        form = {"grant_type": "client_credentials"} | (
            {"scope": self._scope} if self._scope else {}
        )
        headers = {
            "Accept": "application/json",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        if self._secret_in_body:
            form |= {"client_id": self._client_id, "client_secret": self._client_secret()}
        else:
            # RFC 6749, 2.3.1: both are form-encoded before they are joined.
            headers["Authorization"] = _basic(
                quote_plus(self._client_id), quote_plus(self._client_secret())
            )
        response = await send("POST", self._token_url, headers, urlencode(form).encode())
        if response.status != 200:
            raise _not_granted("access-token", self._token_url, response)
        try:
            granted = msgspec.json.decode(response.body, type=_Grant, strict=False)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _not_granted("access-token", self._token_url, response) from error
        if not _TOKEN.fullmatch(granted.access_token) or not granted.expires_in > 0:
            raise _not_granted("access-token", self._token_url, response)
        return Token(granted.access_token, min(granted.expires_in, MAX_LIFE_S))


class LoginSession:
    """The session that a call of its own begins, shared by all calls of the channel."""

    keeps_cookies = False

    def __init__(
        self,
        *,
        login: Login,
        user: str,
        password: Secret,
        tenant: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """login: how the target begins one. tenant: in which the user works; "" where there is one.

        Raises: Misconfigured for a tenant that the target cannot have.
        """
        login.body(user, "", tenant)
        self._login = login
        self._before = f"{login.scheme} " if login.scheme else ""
        self._user = user
        self._password = password
        self._tenant = tenant
        # Renewals are held back: where two take the session from each other, neither gets far.
        self._tokens = TokenCache(self._fetch, clock=clock)

    async def headers(self, request: Request, send: Send) -> dict[str, str]:
        """The header with the session."""
        return {self._login.header: self._before + await self._tokens.get(send)}

    def is_refusal(self, response: Response, sent: Mapping[str, str]) -> bool:
        """The session is over."""
        session = sent.get(self._login.header, "").removeprefix(self._before)
        return self._login.is_over(response) and self._tokens.drop(session)

    async def _fetch(self, send: Send) -> Token:
        path = self._login.path
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        body = self._login.body(self._user, self._password(), self._tenant)
        response = await send("POST", path, headers, body)
        session = self._login.session(response.body) if response.status == 200 else ""
        if not _TOKEN.fullmatch(session):
            raise _not_granted("session", path, response)
        # It ends when it was idle for long, not at a time that could be known.
        return Token(session, None)


class _Grant(msgspec.Struct):
    access_token: str
    expires_in: float = DEFAULT_LIFE_S


class Token:
    """A token and how long it is good for, in seconds; None until it is refused."""

    __slots__ = ("life_s", "value")

    def __init__(self, value: str, life_s: float | None) -> None:
        self.value = value
        self.life_s = life_s


class TokenCache:
    """One token at a time: fetched once for all who wait for it, renewed before it ends."""

    def __init__(
        self,
        fetch: Callable[[Send], Awaitable[Token]],
        *,
        clock: Callable[[], float],
        spread: Callable[[], float] = random.random,
        forced_pause_s: float = FORCED_RENEWAL_PAUSE_S,
    ) -> None:
        """clock: monotonic seconds. spread: 0 to 1, keeps replicas from renewing together."""
        self._fetch = fetch
        self._clock = clock
        self._spread = spread
        self._forced_pause_s = forced_pause_s
        self._single_flight = asyncio.Lock()
        self._value = ""
        self._renew_at = self._ends_at = self._forced_until = self._ask_again_at = float("-inf")
        self._failure: Failure | None = None

    async def get(self, send: Send) -> str:
        """A token that should be accepted; the old one while it lasts and no new one can be had.

        Raises: what the last fetch raised, for FAILED_FETCH_PAUSE_S without fetching again.
        """
        if self._clock() < self._renew_at:
            return self._value
        async with self._single_flight:
            # Those who waited find what the first one fetched, or the failure it met.
            if self._clock() >= max(self._renew_at, self._ask_again_at):
                await self._renew(send)
            if self._failure is not None and self._clock() >= self._ends_at:
                raise self._failure.with_traceback(None)
            return self._value

    def drop(self, value: str) -> bool:
        """The target refused `value`; True if the next `get` brings another one."""
        if value != self._value:
            return True
        now = self._clock()
        if now < self._forced_until:
            return False
        self._forced_until = now + self._forced_pause_s
        self._renew_at = self._ends_at = float("-inf")
        return True

    async def _renew(self, send: Send) -> None:
        try:
            token = await self._fetch(send)
        except Failure as failure:
            self._failure = failure
            self._ask_again_at = self._clock() + FAILED_FETCH_PAUSE_S
            return
        now = self._clock()
        life_s = token.life_s if token.life_s is not None else float("inf")
        self._value = token.value
        # At 80 % of its life at the latest.
        self._renew_at = now + life_s * (0.8 - 0.1 * self._spread())
        self._ends_at = now + life_s
        self._failure = None


def _basic(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


def _not_granted(code: str, url: str, response: Response) -> Failure:
    """What a refused fetch means: later (overload, outage), or wrong credentials."""
    what = f"no token granted, status {response.status}"
    if response.status < 400 or response.status in (408, 429) or response.status >= 500:
        return Unavailable(code, what, where=url, retry_after_s=response.retry_after_s)
    return Misconfigured(code, what, where=url, remedy="check the credentials of this system")
