"""Where the console listens, and what it refuses to."""

from __future__ import annotations

import pytest

from canonical.errors import Misconfigured
from ops.console.settings import ConsoleSettings, refuse_unsafe


@pytest.mark.parametrize("listen", ["127.0.0.1:8090", "localhost:0", "[::1]:8090"])
def test_it_listens_on_loopback(listen: str) -> None:
    refuse_unsafe(ConsoleSettings(listen=listen))


@pytest.mark.parametrize("listen", ["0.0.0.0:8090", "10.1.2.3:8090", "[::]:8090"])
def test_it_listens_to_others_only_where_that_is_meant(listen: str) -> None:
    url = "https://layshaft.example.com"
    for settings in (
        ConsoleSettings(listen=listen),
        ConsoleSettings(listen=listen, beyond_loopback=True),
        ConsoleSettings(listen=listen, url=url),
    ):
        with pytest.raises(Misconfigured) as refused:
            refuse_unsafe(settings)
        assert refused.value.code == "console-beyond-loopback"
    refuse_unsafe(ConsoleSettings(listen=listen, beyond_loopback=True, url=url))


@pytest.mark.parametrize(
    "settings",
    [
        ConsoleSettings(listen="8090"),
        ConsoleSettings(listen="127.0.0.1:http"),
        ConsoleSettings(listen="layshaft.example.com:8090"),
        ConsoleSettings(url="https://layshaft.example.com/"),
        ConsoleSettings(url="layshaft.example.com"),
        ConsoleSettings(time_zone="Mars/Olympus"),
        ConsoleSettings(time_zone="../etc"),
        ConsoleSettings(idle_minutes=0),
        ConsoleSettings(most_hours=0),
    ],
)
def test_what_cannot_be_meant_is_refused(settings: ConsoleSettings) -> None:
    with pytest.raises(Misconfigured) as refused:
        refuse_unsafe(settings)
    assert refused.value.code == "console-invalid"


def test_its_pages_have_the_origins_that_browsers_know_it_by() -> None:
    assert ConsoleSettings().origins(81) == {
        "http://127.0.0.1:81",
        "http://localhost:81",
        "http://[::1]:81",
    }
    assert ConsoleSettings(url="https://a.example").origins(81) == {"https://a.example"}
