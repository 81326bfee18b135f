"""Who may do what, and what a token looks like: rules on values, without I/O.

A principal is who acts: a person or a service, under a name that a token vouches for. What it may
do follows from its roles by `PERMISSIONS`, and where that concerns plants, from its plants.
Decisions belong to the role that is asked (`[rules.approvers]`); viewers and business roles may do
nothing else that changes anything, and whoever gives out roles decides nothing by that.
"""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from canonical.errors import Rejected

# Roles of those who run Layshaft; every other word is a business role, whose questions are asked.
VIEWER, OPERATOR, INTEGRATOR, ADMIN = "viewer", "operator", "integrator", "admin"
TECHNICAL_ROLES = (VIEWER, OPERATOR, INTEGRATOR, ADMIN)
ALL_PLANTS = ("*",)
# In the table below: the role that is asked, and any role but that of those who only look.
OWNER = "owner"
ANYBODY = "anybody"

Action = Literal[
    "task-approve",
    "task-reject",
    "task-delegate",
    "task-comment",
    "case-retry",
    "case-close",
    "hold-place",
    "hold-release",
    "change-pause",
    "change-resume",
    "change-replan",
    "change-skip",
    "change-restart",
    "change-cancel",
    "change-undo",
    "replay-start",
    "replay-pause",
    "replay-resume",
    "replay-cancel",
    "partitions-change",
    "package-put",
    "token-create",
    "token-revoke",
    "principal-disable",
    "principal-enable",
]


class Permission(msgspec.Struct, frozen=True):
    """An action in words, and the roles of which one is enough for it."""

    words: str
    roles: tuple[str, ...]


PERMISSIONS: Mapping[Action, Permission] = {
    "task-approve": Permission("approve", (OWNER,)),
    "task-reject": Permission("reject", (OWNER,)),
    "task-delegate": Permission("delegate a decision", (OWNER,)),
    "task-comment": Permission("comment on a question", (ANYBODY,)),
    "case-retry": Permission("retry a case", (OPERATOR, INTEGRATOR)),
    "case-close": Permission("close a case", (OPERATOR, INTEGRATOR)),
    "hold-place": Permission("place a hold", (OPERATOR, INTEGRATOR)),
    "hold-release": Permission("release a hold", (OPERATOR, INTEGRATOR)),
    "change-pause": Permission("pause a change", (OPERATOR, INTEGRATOR)),
    "change-resume": Permission("resume a change", (OPERATOR, INTEGRATOR)),
    "change-replan": Permission("agree to another plan", (OPERATOR, INTEGRATOR)),
    "change-skip": Permission("skip a step", (OPERATOR, INTEGRATOR)),
    "change-restart": Permission("have a step run anew", (OPERATOR, INTEGRATOR)),
    "change-cancel": Permission("cancel a change", (OPERATOR, INTEGRATOR)),
    "change-undo": Permission("undo what a change did", (OPERATOR, INTEGRATOR)),
    "replay-start": Permission("start a replay", (INTEGRATOR,)),
    "replay-pause": Permission("pause a replay", (OPERATOR, INTEGRATOR)),
    "replay-resume": Permission("resume a replay", (OPERATOR, INTEGRATOR)),
    "replay-cancel": Permission("cancel a replay", (OPERATOR, INTEGRATOR)),
    "partitions-change": Permission("split an event over queues", (OPERATOR,)),
    "package-put": Permission("put a package", (OPERATOR, INTEGRATOR)),
    "token-create": Permission("make a token", (ADMIN,)),
    "token-revoke": Permission("revoke a token", (ADMIN,)),
    "principal-disable": Permission("disable a principal", (ADMIN,)),
    "principal-enable": Permission("enable a principal", (ADMIN,)),
}

# Nobody that a token vouches for.
UNKNOWN = "unknown"
# Whoever holds the database's address: makes the first admin, see broker.authority.
INSTALLATION = "installation"
RESERVED_NAMES = frozenset({UNKNOWN, INSTALLATION, "layshaft"})


class Principal(msgspec.Struct, frozen=True):
    """Who acts. roles: any words; plants: codes, "*" = all of them."""

    name: str
    roles: tuple[str, ...]
    plants: tuple[str, ...]

    def covers(self, plant: str) -> bool:
        """Whether the plant is in its scope; all of them ("*") are only in a scope of all."""
        return "*" in self.plants or plant in self.plants


INSTALLER = Principal(INSTALLATION, (ADMIN,), ALL_PLANTS)


class Deed(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody is about to do.

    subject, correlation_id: as the audit has them. plants: that it concerns, "*" = all of them;
    () = none in particular. role: that is asked, of a decision; escalated_to: those that it has
    gone on to, who may decide too. delegates: names of those who may in somebody's place.
    """

    action: Action
    subject: str
    correlation_id: str = ""
    plants: tuple[str, ...] = ()
    role: str = ""
    escalated_to: tuple[str, ...] = ()
    delegates: tuple[str, ...] = ()


class Refused(Rejected):
    """Somebody may not do what they asked for. by: their name, where a token says it."""

    def __init__(self, code: str, what: str, *, where: str, remedy: str, by: str = UNKNOWN) -> None:
        super().__init__(code, what, where=where, remedy=remedy, owner=ADMIN)
        self.by = by


def may(
    principal: Principal,
    action: Action,
    *,
    plants: Iterable[str] = (),
    role: str = "",
    escalated_to: Iterable[str] = (),
    delegates: Iterable[str] = (),
) -> Refused | None:
    """None where the principal may; else what is missing, who is allowed, and whom to ask.

    plants: that it concerns, "*" = all of them. role: that is asked, of a decision; escalated_to:
    those that it has gone on to. One of TECHNICAL_ROLES can be asked nothing. delegates: names of
    those who need none of these.
    """
    permission = PERMISSIONS[action]
    what = f"{principal.name} may not {permission.words}"
    allowed = _allowed(permission, principal, (role, *escalated_to))
    if principal.name not in set(delegates) and not set(allowed) & set(principal.roles):
        return _role_missing(principal, what, allowed)
    outside = sorted({plant for plant in plants if not principal.covers(plant)})
    return _out_of_scope(principal, what, outside) if outside else None


def may_see(principal: Principal, what: str, plants: Iterable[str]) -> Refused | None:
    """None where one of the plants is in the principal's scope, or there is none in particular;
    else whom to ask. Who sees a part sees the whole: what one plant waits for may be in another."""
    concerned = sorted(set(plants))
    if not concerned or any(principal.covers(plant) for plant in concerned):
        return None
    return _out_of_scope(principal, f"{principal.name} may not look at {what}", concerned)


def _allowed(permission: Permission, principal: Principal, asked: Iterable[str]) -> list[str]:
    """The roles of which one is enough, where these are asked."""
    if ANYBODY in permission.roles:
        return [role for role in principal.roles if role != VIEWER]
    if OWNER in permission.roles:
        return [role for role in asked if role and role not in TECHNICAL_ROLES]
    return list(permission.roles)


def _role_missing(principal: Principal, what: str, allowed: list[str]) -> Refused:
    needed = f"the role {' or '.join(allowed)}" if allowed else "a business role, and asks none"
    return Refused(
        "role-missing",
        what,
        where=f"it takes {needed}; {principal.name} has {', '.join(principal.roles) or 'none'}",
        remedy="Ask somebody who has it: layshaft token list; an admin gives roles",
        by=principal.name,
    )


def _out_of_scope(principal: Principal, what: str, outside: list[str]) -> Refused:
    return Refused(
        "plant-out-of-scope",
        f"{what} for {_plants(outside)}",
        where=f"{principal.name} acts for {_plants(principal.plants)}",
        remedy=f"Ask somebody who acts for {_plants(outside)}: layshaft token list;"
        " an admin gives plants",
        by=principal.name,
    )


def _plants(codes: Iterable[str]) -> str:
    named = list(codes)
    if "*" in named:
        return "all plants"
    return f"plant {', '.join(named)}" if named else "no plant"


# Signatures


class Decision(msgspec.Struct, frozen=True):
    """What somebody decided of a question. digest: hex, of the content. in_place_of: name of who
    had them decide; "" = they were asked themselves. choice: the word it names, where the question
    has choices."""

    verdict: str
    by: str
    digest: str
    in_place_of: str = ""
    choice: str = ""


def signers(decisions: Iterable[Decision], digest: str) -> tuple[str, ...]:
    """Who has approved this content since somebody last rejected the question, in that order.

    decisions: all of the question, the oldest first.
    """
    signed: dict[str, None] = {}
    for decision in decisions:
        if decision.verdict == "rejected":
            signed.clear()
        elif decision.digest == digest:
            signed[decision.by] = None
    return tuple(signed)


def may_be_delegate(
    named: Principal,
    by: Principal,
    *,
    roles: Iterable[str],
    plants: Iterable[str],
    known: Mapping[str, str],
) -> Refused | None:
    """None where the one who is named may decide in the place of the other; else why not.

    roles: that may decide anyway. plants: of the question. known: who may decide it in whose place
    by now.
    """
    what = f"{named.name} cannot decide in the place of {by.name}"
    if named.name == by.name or set(roles) & set(named.roles):
        return _no_delegate(by, what, "who may decide it anyway needs nobody's place")
    if known.get(named.name, by.name) != by.name:
        return _no_delegate(by, what, f"{named.name} does so for {known[named.name]} already")
    if not set(named.roles) - set(TECHNICAL_ROLES):
        return _no_delegate(by, what, "who runs Layshaft or only looks decides nothing")
    outside = sorted({plant for plant in plants if not named.covers(plant)})
    if outside:
        why = f"{named.name} acts for {_plants(named.plants)}, it is about {_plants(outside)}"
        return _no_delegate(by, what, why)
    return None


def _no_delegate(by: Principal, what: str, why: str) -> Refused:
    return Refused(
        "no-delegate",
        what,
        where=why,
        remedy="Name somebody with a business role and these plants: layshaft token list",
        by=by.name,
    )


# Tokens

TokenState = Literal["valid", "expired", "revoked", "disabled"]

TOKEN_PREFIX = "lys_"
SECRET_BYTES = 32
_TOKEN = re.compile(rf"{TOKEN_PREFIX}[A-Za-z0-9_-]{{43}}")
# Cut short it may be a token still.
_ANY_TOKEN = re.compile(rf"{TOKEN_PREFIX}[A-Za-z0-9_-]+")
_ANOTHER = "Have an admin make another one: layshaft token create"


def token_text(secret: bytes) -> str:
    """The token of 32 random bytes, as its owner keeps it."""
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"a token has {SECRET_BYTES} random bytes, not {len(secret)}")
    return TOKEN_PREFIX + urlsafe_b64encode(secret).decode().rstrip("=")


def token_hash(text: str) -> bytes:
    """SHA-256 of the random bytes of a token: what is kept of it.

    Raises: Refused, which does not repeat the text.
    """
    if _TOKEN.fullmatch(text):
        secret = urlsafe_b64decode(text.removeprefix(TOKEN_PREFIX) + "=")
        # The last character has two bits that say nothing: one secret has one text.
        if token_text(secret) == text:
            return hashlib.sha256(secret).digest()
    raise Refused(
        "token-malformed",
        "What was given is no token",
        where=f"a token is {TOKEN_PREFIX} and 43 letters, digits, - or _",
        remedy=f"Copy it whole; else: {_ANOTHER}",
    )


def without_tokens(text: str) -> str:
    """The text as it may be shown: whatever looks like a token is cut."""
    return _ANY_TOKEN.sub(f"{TOKEN_PREFIX}...", text)


_UNUSABLE: Mapping[TokenState, tuple[str, str, str]] = {
    "expired": ("token-expired", "The token of {} has expired", _ANOTHER),
    "revoked": ("token-revoked", "The token of {} was revoked", _ANOTHER),
    "disabled": ("principal-disabled", "{} is disabled", "Ask an admin whether that is right"),
}


def unusable(name: str, state: TokenState) -> Refused | None:
    """None where that principal's token counts; else why it does not."""
    if state == "valid":
        return None
    code, what, remedy = _UNUSABLE[state]
    return Refused(code, what.format(name), where="token", remedy=remedy, by=name)


# What a token may be made for

Kind = Literal["person", "service"]

MOST_DAYS = 730
_ROLE = re.compile(r"[a-z][a-z0-9]*([ -][a-z0-9]+)*")
_MOST_CHARACTERS = 100


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """A token to make, and what its principal is from then on. kind None, roles (), plants (): as
    they are; a new principal has to be given both. days: that the token counts.
    """

    name: str
    kind: Kind | None = None
    roles: tuple[str, ...] = ()
    plants: tuple[str, ...] = ()
    label: str = ""
    days: int = 90


def check(grant: Grant) -> None:
    """Raises: Rejected where no such token can be made, with what is wrong."""
    if not _is_text(grant.name) or not grant.name or grant.name in RESERVED_NAMES:
        raise _unfit(
            "principal-name",
            f"{grant.name!r} cannot name a principal",
            f"a name has 1 to {_MOST_CHARACTERS} printable characters, begins and ends with none"
            f" that is blank, and is none of {', '.join(sorted(RESERVED_NAMES))}",
        )
    if not _is_text(grant.label):
        raise _unfit(
            "token-label",
            f"{grant.label!r} cannot be a label",
            f"a label has up to {_MOST_CHARACTERS} printable characters",
        )
    for role in grant.roles:
        if not _ROLE.fullmatch(role) or role == OWNER or len(role) > _MOST_CHARACTERS:
            raise _unfit(
                "role-name",
                f"{role!r} is no role",
                f"a role is one of {', '.join(TECHNICAL_ROLES)}, or a word of [rules.approvers],"
                " in small letters",
            )
    for plant in grant.plants:
        if not plant or not _is_text(plant):
            raise _unfit("plant-code", f"{plant!r} is no plant", "a plant is a code, or * for all")
    if not 1 <= grant.days <= MOST_DAYS:
        raise _unfit(
            "token-days", f"A token for {grant.days} days", f"one counts for 1 to {MOST_DAYS} days"
        )


def _is_text(text: str) -> bool:
    return text.isprintable() and text == text.strip() and len(text) <= _MOST_CHARACTERS


def _unfit(code: str, what: str, where: str) -> Rejected:
    return Rejected(code, what, where=where, remedy="Correct it and give the command again")
