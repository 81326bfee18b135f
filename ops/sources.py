"""Who handles a delivery, by the configuration: for live ones and for those of the log."""

from __future__ import annotations

from broker.door import check_claim
from broker.intake import Recognise
from broker.settings import Settings
from canonical.catalogue import Catalogue
from canonical.errors import InvalidMessage
from canonical.events import SOURCE
from canonical.handler import Delivery, Handler


def recogniser(settings: Settings, catalogue: Catalogue) -> Recognise:
    """A function from a delivery to its handler; it raises InvalidMessage or Misconfigured.

    Events of ours, what sources send, and what reads of our target systems brought back.
    """
    contracts = {source.name: source.contracts for source in settings.sources}
    systems = {system.name for system in settings.systems}

    def recognise(delivery: Delivery) -> Handler:
        if delivery.source == SOURCE:
            return catalogue.recognise((SOURCE,), delivery)
        if delivery.source in contracts:
            check_claim(delivery.attributes, delivery.source, (SOURCE, *contracts))
            return catalogue.recognise(contracts[delivery.source], delivery)
        if delivery.source in systems:
            return catalogue.translator(delivery.kind)
        raise InvalidMessage(
            "source-unknown",
            f"No source {delivery.source!r} is configured",
            where="exchange",
            remedy="Configure the source",
        )

    return recognise
