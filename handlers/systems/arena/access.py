"""How Arena wants to know who calls: a user has one session at a time, and a second login ends the
first. So every process that calls needs a user of its own; within one all calls share the session.
"""

from __future__ import annotations

import re

import msgspec

from canonical.access import Login
from canonical.errors import Misconfigured
from canonical.exchange import Response


class _Session(msgspec.Struct):
    """Arena's own page of the login spells it as its header, clients of others read the second."""

    arena_session_id: str = ""
    spelled_as_others: str = msgspec.field(default="", name="arenaSessionId")


class _Error(msgspec.Struct):
    code: int


class _Refusal(msgspec.Struct):
    errors: list[_Error]


def _login(user: str, password: str, workspace: str) -> bytes:
    """user: mail address. workspace: its number; "" = the one the user was last in.

    Raises: Misconfigured for a workspace that is no number.
    """
    if workspace and not re.fullmatch(r"[0-9]{1,18}", workspace, re.ASCII):
        raise Misconfigured(
            "workspace-malformed",
            f"the workspace {workspace[:40]!r} is no number",
            where="tenant",
            remedy="give the number that Arena shows for the workspace",
        )
    login: dict[str, str | int] = {"email": user, "password": password}
    return msgspec.json.encode(login | ({"workspaceId": int(workspace)} if workspace else {}))


def _session(answer: bytes) -> str:
    try:
        found = msgspec.json.decode(answer, type=_Session)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return found.arena_session_id or found.spelled_as_others


def _is_over(response: Response) -> bool:
    """Idle for 90 minutes, or the user logged in elsewhere: by the status, or by an error of that
    number in a 400."""
    if response.status != 400:
        return response.status == 401
    try:
        refusal = msgspec.json.decode(response.body, type=_Refusal)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return any(error.code == 401 for error in refusal.errors)


ACCESS = Login(
    path="/login",
    header="arena_session_id",
    body=_login,
    session=_session,
    is_over=_is_over,
)
