"""How a system wants to know who calls: what the channels' policies have to be told of it, which is
the system's driver's to say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from canonical.exchange import Response


@dataclass(frozen=True, slots=True, kw_only=True)
class CsrfTokens:
    """User and password with each call, and with one that changes something also a token of a
    session that lives in cookies.

    header: in which a token is asked for, given and sent. asks: what stands there to ask for one.
    refuses: what the target answers there, with status 403 and before anything else, once the
    session is over.
    """

    header: str
    asks: str
    refuses: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A session that a call of its own begins and that lasts until the target says otherwise.

    path: of that call, a POST of JSON. body: user, password and tenant -> what is sent; raises
    Misconfigured for a tenant that is none. session: what was answered -> the session, "" where it
    has none. header: with the session in all other calls, behind the word of the authentication
    scheme where there is one. is_over: whether a call was refused since its session is over.
    """

    path: str
    header: str
    body: Callable[[str, str, str], bytes]
    session: Callable[[bytes], str]
    is_over: Callable[[Response], bool]
    scheme: str = ""


Access = CsrfTokens | Login
