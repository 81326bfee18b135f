"""The few calls that make a new database ready, over the same interface as everybody's."""

from __future__ import annotations

import gzip
import json
import urllib.error
import urllib.request
from base64 import b64encode
from typing import Any

from ops.stack import StackUnavailable

_TIMEOUT_S = 60.0


class Client:
    """Calls to one database in one user's name. Blocking."""

    def __init__(self, url: str, user: str, password: str) -> None:
        """Raises: StackUnavailable where the login is refused."""
        self._url = f"{url}/rpc/"
        self._headers: dict[str, str] = {}
        self.user, token, _ = self._post("common.db.login", [user, {"password": password}, "en"])
        session = b64encode(f"{user}:{self.user}:{token}".encode()).decode()
        self._headers = {"Authorization": f"Session {session}"}

    def call(self, method: str, *params: Any) -> Any:
        """What `model.<method>` returns; the context is empty but for the language.

        Raises: StackUnavailable for whatever is no result.
        """
        return self._post(f"model.{method}", [*params, {"language": "en"}])

    def _post(self, method: str, params: list[Any]) -> Any:
        content = json.dumps({"id": 0, "method": method, "params": params}).encode()
        # Longer answers are gzip only where the request asks for it, and always say that they are.
        headers = {"Content-Type": "application/json", "Accept-Encoding": "gzip", **self._headers}
        request = urllib.request.Request(self._url, content, headers)
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:
                body = response.read()
                is_packed = response.headers.get("Content-Encoding") == "gzip"
            answer = json.loads(gzip.decompress(body) if is_packed else body)
        except (OSError, ValueError) as error:
            raise StackUnavailable(f"Tryton did not answer {method}: {error}") from error
        if "result" not in answer:
            raise StackUnavailable(f"Tryton refused {method}: {answer.get('error')}")
        return answer["result"]


def is_up(port: int) -> bool:
    """Whether a Tryton answers there."""
    content = json.dumps({"id": 0, "method": "common.server.version", "params": []}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/rpc/", content, {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=1.0) as response:
            return "result" in json.loads(response.read())
    except (OSError, ValueError):
        return False
