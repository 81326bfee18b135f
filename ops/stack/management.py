"""RabbitMQ's management HTTP API, as far as virtual hosts need it."""

import json
from base64 import b64encode
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, unquote, urlsplit, urlunsplit
from urllib.request import ProxyHandler, Request, build_opener

_TIMEOUT_S = 10.0
# The broker is on loopback or in the same network: a proxy from the environment is never right.
_opener = build_opener(ProxyHandler({}))


class ManagementError(Exception):
    """The HTTP API refused a call or did not answer."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"{url}: {reason}")
        self.url = url
        self.reason = reason


def vhost_name(amqp_url: str) -> str:
    """The virtual host an AMQP URL points at; '/' if it names none."""
    return unquote(urlsplit(amqp_url).path[1:]) or "/"


def with_vhost(amqp_url: str, name: str) -> str:
    """The same broker and credentials, another virtual host."""
    return urlunsplit(urlsplit(amqp_url)._replace(path="/" + quote(name, safe="")))


def create_vhost(management_url: str, amqp_url: str, name: str) -> str:
    """Create `name` beside the virtual host of `amqp_url`, with every right for its user; its URL.

    The HTTP API's user gets the same rights: it may be another one.
    """
    vhost = quote(name, safe="")
    _call(management_url, "PUT", f"/api/vhosts/{vhost}", {})
    for user in {_user(management_url), _user(amqp_url)}:
        _call(
            management_url,
            "PUT",
            f"/api/permissions/{vhost}/{quote(user, safe='')}",
            {"configure": ".*", "write": ".*", "read": ".*"},
        )
    return with_vhost(amqp_url, name)


def delete_vhost(management_url: str, name: str) -> None:
    """Delete a virtual host with everything in it; fine if it is gone already."""
    try:
        _call(management_url, "DELETE", f"/api/vhosts/{quote(name, safe='')}", None)
    except ManagementError as error:
        if error.reason != "404":
            raise


def delete_family(management_url: str, name: str) -> None:
    """Delete `name` and every virtual host called `<name>_...`."""
    for member in vhost_names(management_url):
        if member == name or member.startswith(f"{name}_"):
            delete_vhost(management_url, member)


def vhost_names(management_url: str) -> set[str]:
    """All virtual hosts the HTTP API's user may see."""
    return {vhost["name"] for vhost in _call(management_url, "GET", "/api/vhosts", None)}


def unacknowledged(management_url: str, name: str) -> int:
    """Deliveries of a virtual host that are not acknowledged, as of some seconds ago."""
    queues = _call(management_url, "GET", f"/api/queues/{quote(name, safe='')}", None)
    return sum(int(queue.get("messages_unacknowledged", 0)) for queue in queues)


def server_version(management_url: str) -> str:
    """The broker's version, for example '3.10.8'."""
    return str(_call(management_url, "GET", "/api/overview", None)["rabbitmq_version"])


def _user(url: str) -> str:
    return unquote(urlsplit(url).username or "guest")


def _call(management_url: str, method: str, path: str, body: Mapping[str, str] | None) -> Any:
    parts = urlsplit(management_url)
    host = parts.netloc.rpartition("@")[2]
    url = urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", "")) + path
    credentials = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    request = Request(
        url,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Authorization": "Basic " + b64encode(credentials.encode()).decode(),
            "Content-Type": "application/json",
        },
    )
    try:
        with _opener.open(request, timeout=_TIMEOUT_S) as response:
            answer = response.read()
    except HTTPError as error:
        raise ManagementError(url, str(error.code)) from error
    except URLError as error:
        raise ManagementError(url, str(error.reason)) from error
    except (HTTPException, OSError) as error:
        raise ManagementError(url, str(error)) from error
    return json.loads(answer) if answer else None
