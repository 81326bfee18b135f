"""How a system of the configuration is reached: its channel with its credentials, its driver."""

from __future__ import annotations

from collections.abc import Mapping

from broker.channels.auth import (
    AuthPolicy,
    CsrfSession,
    LoginSession,
    OAuth2ClientCredentials,
)
from broker.channels.http import Admission, FailPoint, HttpChannel, Limits
from broker.settings import Deadlines, System
from canonical.access import Access, CsrfTokens, Login
from canonical.connector import Driver
from canonical.errors import Misconfigured
from canonical.own_words import OwnWords
from ops.configuration import secret

OAUTH2 = "oauth2"


def channel_of(
    system: System,
    deadlines: Deadlines,
    access: Mapping[str, Access],
    environ: Mapping[str, str],
    *,
    fail_point: FailPoint | None = None,
    admission: Admission | None = None,
) -> HttpChannel:
    """The channel to the system; opens no connection by itself.

    access: how vendors let one in, by the word that `auth` of a system may be.
    Raises: Misconfigured for an authentication that there is not, or a secret that leads nowhere.
    """
    return HttpChannel(
        base_url=system.base_url,
        auth=_auth_of(system, access, environ),
        limits=Limits(
            connect_s=deadlines.http_connect_s,
            read_s=deadlines.http_read_s,
            total_s=deadlines.http_total_s,
            parallel=system.concurrency,
        ),
        fail_point=fail_point,
        admission=admission,
    )


def driver_of(system: System, drivers: Mapping[str, Driver], words: OwnWords) -> Driver:
    """The driver of the system, in its own words. Raises: Misconfigured for one there is not."""
    if system.driver not in drivers:
        raise Misconfigured(
            "driver-unknown",
            f"There is no driver {system.driver!r}",
            where=f"systems.{system.name}",
            remedy=f"Use one of {', '.join(sorted(drivers))}",
        )
    driver = drivers[system.driver].for_words(words)
    return driver if system.change_sets else driver.one_by_one()


def _auth_of(
    system: System, access: Mapping[str, Access], environ: Mapping[str, str]
) -> AuthPolicy:
    password = secret(system.secret, environ)
    if system.auth == OAUTH2:
        return OAuth2ClientCredentials(
            token_url=system.token_path, client_id=system.user, client_secret=password
        )
    match access.get(system.auth):
        case CsrfTokens() as tokens:
            return CsrfSession(
                tokens=tokens,
                user=system.user,
                password=password,
                token_path=system.token_path,
            )
        case Login() as login:
            return LoginSession(
                login=login, user=system.user, password=password, tenant=system.tenant
            )
    raise Misconfigured(
        "auth-unknown",
        f"There is no authentication {system.auth!r}",
        where=f"systems.{system.name}.auth",
        remedy=f"Use one of {', '.join(sorted((OAUTH2, *access)))}",
    )
