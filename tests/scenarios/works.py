"""What a story is given: plants, who buys, systems and what they know, as the service's
configuration and the stand-ins' seeds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any, Literal

import msgspec

from ops.configuration import Configuration

Kind = Literal["erp", "procurement", "plm"]
CENTRAL = "1000"
DRIVERS = {
    "erp": {"driver": "s4", "auth": "s4", "token_path": "/sap/opu/odata/sap/API_PRODUCT_SRV/"},
    "procurement": {"driver": "coupa", "auth": "oauth2", "token_path": "/oauth2/token"},
    "plm": {"driver": "arena", "auth": "arena"},
}
# Kinds of objects by which a route names the PLM that is told of the end of a change.
TOLD_BACK = ("implementation-status", "change-notice")
# Shortened, so that a lost answer is seen to the end within a second or two.
DEADLINES = {
    "http_connect_s": 0.5,
    "http_read_s": 1.0,
    "http_total_s": 1.2,
    "lease_s": 2.5,
    "sweep_s": 0.1,
    "fact_sweep_s": 0.2,
    "confirm_s": 10.0,
    "acquire_s": 20.0,
    "statement_s": 20.0,
    "drain_s": 2.0,
}
SUBSCRIBERS = {
    "PLM": ("engineering-change.completed",),
    "planning": ("plan.adjustment-needed",),
    "portal": ("supplier-notice.issued",),
    "quality": ("approval.requested", "approval.granted", "approval.refused"),
}


class Clock:
    """The day of the story: real time, or from a given moment on as fast as real time."""

    def __init__(self) -> None:
        self._moment: datetime | None = None
        self._since = 0.0

    def becomes(self, moment: datetime) -> None:
        """It is that moment now."""
        self._moment, self._since = moment, monotonic()

    def __call__(self) -> datetime:
        if self._moment is None:
            return datetime.now(UTC)
        return self._moment + timedelta(seconds=monotonic() - self._since)


class Works:
    """Grows sentence by sentence, before anything runs."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.systems: dict[str, Kind] = {"erp": "erp", "procurement": "procurement"}
        self.plants: list[dict[str, Any]] = []
        self.families: dict[str, list[str]] = {}
        self.routes = [_route("*", "*", "erp", date(2020, 1, 1))]
        self.suppliers: list[dict[str, Any]] = []
        self.contracts: dict[str, dict[str, Any]] = {}
        self.rules: dict[str, Any] = {}
        self.sources: list[dict[str, Any]] = []

    def route(self, kind: str, plant: str, system: str, first: date) -> None:
        """From that day on such objects of the plant are in that system."""
        self.systems.setdefault(system, "erp")
        self.routes.append(_route(kind, plant, system, first))

    def told_back(self, system: str) -> None:
        """That system is the PLM's own, and changes are closed in it."""
        self.systems[system] = "plm"
        for kind in TOLD_BACK:
            self.route(kind, "*", system, date(2020, 1, 1))

    def contract(self, number: str, supplier: str, line: dict[str, Any]) -> None:
        """The contract with the supplier has that line too."""
        held = self.contracts.setdefault(number, new_contract(number, supplier))
        held["lines"].append(line)

    def seed(self, kind: Kind) -> dict[str, Any]:
        """What a system of that kind knows before the first request."""
        if kind == "plm":
            return {}
        if kind == "procurement":
            return {"suppliers": self.suppliers, "contracts": list(self.contracts.values())}
        codes = [plant["code"] for plant in self.plants]
        own = {p["purchasing_org"]: [p["code"]] for p in self.plants if p["sourcing"] == "local"}
        return {
            "plants": codes,
            "purchasing_organizations": {CENTRAL: codes} | own,
            "suppliers": [supplier["number"] for supplier in self.suppliers],
        }

    def configuration(
        self,
        *,
        database_url: str,
        amqp_url: str,
        urls: dict[str, str],
        secret: Path,
        has_console: bool = False,
    ) -> Configuration:
        """The service's configuration with these addresses; with pages for people where that is
        said, at a free port."""
        systems = [
            {
                "name": name,
                **DRIVERS[kind],
                "base_url": urls[name],
                "user": "demo",
                "secret": f"file:{secret}",
                "settle_s": 0.1,
            }
            for name, kind in self.systems.items()
        ]
        plm = {
            "name": "plm",
            "kinds": ["product-definition"],
            "contracts": ["pdx.package", "arena.change"],
        }
        suite = {
            "name": "suite",
            "kinds": ["row"],
            "contracts": ["coupa.order", "coupa.supplier"],
            "reads_from": "procurement",
        }
        news = {
            "name": "erp-news",
            "kinds": ["event"],
            "contracts": ["s4.event"],
            "reads_from": "erp",
        }
        settings = {
            "database_url": database_url,
            "amqp_url": amqp_url,
            "sources": [plm, suite, news, *self.sources],
            "systems": systems,
            "subscribers": {name.casefold(): events for name, events in SUBSCRIBERS.items()},
            "deadlines": DEADLINES,
            "retry": {"transient": {"ceilings_s": [0.1, 0.2, 0.3], "attempts": 60}},
        }
        rules = {
            "central_purchasing_org": CENTRAL,
            "central_purchasing_group": "001",
            "approvers": {"supplier-qualification": "quality"},
            "plants": self.plants,
            "distribution": [{"family": f, "plants": codes} for f, codes in self.families.items()],
            "routes": self.routes,
        }
        document = {"listen_port": 0, "settings": settings, "rules": rules | self.rules}
        if has_console:
            document["console"] = {"listen": "127.0.0.1:0"}
        return msgspec.convert(document, Configuration)


def _route(kind: str, plant: str, system: str, first: date) -> dict[str, Any]:
    return {"object_kind": kind, "plant": plant, "system": system, "from_day": first}


def new_contract(number: str, supplier: str) -> dict[str, Any]:
    """A published contract without lines, as procurement has it."""
    return {
        "number": number,
        "name": number,
        "supplier": {"number": supplier},
        "start-date": "2024-01-01",
        "end-date": "2099-12-31",
        "status": "published",
        "lines": [],
    }


def contract_line(cells: Mapping[str, str]) -> dict[str, Any]:
    """A line that covers an item, of the row of a story."""
    return {
        "item-number": cells["item"],
        "price": cells["price"],
        "price-unit-quantity": cells["per"],
        "uom": {"code": cells.get("unit", "") or "EA"},
        "currency": {"code": cells["currency"]},
        "start-date": cells.get("from", "") or "2024-01-01",
        "end-date": cells.get("until", "") or "2099-12-31",
    }
