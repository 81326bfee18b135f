"""What a field holds, by what it is called: one table of words, and the rules of vendors before it.

A name is cut into words: `unitPrice`, `UNIT_PRICE` and `unit-price` are "unit price". What is not
in the table is left alone but for addresses and phone numbers found in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise

from canonical.masking import Kind

# Two words beside each other, before everything else where they end the name.
PHRASES: Mapping[str, Kind] = {
    **dict.fromkeys(
        ("zip code", "postal code", "post code", "bank code", "swift code", "branch code",
         "tax code", "vat code", "sort code", "birth date", "house number", "search term",
         "deliver to", "ship to", "ship from", "bill to", "sold to", "invoice to", "reply to",
         "sent from"),
        "text",
    ),
    **dict.fromkeys(
        ("net value", "gross value", "order value", "net total", "gross total",
         "rate value", "condition rate"), "amount"
    ),
    **dict.fromkeys(("manufacturer part", "account assignment", "serial number"), "number"),
    **dict.fromkeys(
        ("item name", "product name", "part name", "material name", "file name", "field name",
         "attribute name", "group name", "plant name", "class name", "type name", "unit name",
         "host name", "column name", "document name", "currency name", "designator name",
         "revision number", "line number", "sequence number", "version number", "page number",
         "position number", "price unit", "price per", "cost center", "cost centre",
         "user defined", "user field", "user fields", "user attributes"),
        "keep",
    ),
}  # fmt: skip

# A name that ends so holds a code, a measure or a time, whatever stands before.
KEPT = frozenset(
    (
        "date", "time", "at", "on", "timestamp", "currency", "curr", "unit", "uom", "code", "type",
        "status", "kind", "class", "category", "country", "region", "language", "quantity", "qty",
        "count", "flag", "format", "scheme", "version", "revision", "label", "valid", "from",
        "until", "to", "per", "percent", "weight", "length", "width", "height", "volume",
        "lifecycle", "phase", "position", "sequence", "indicator",
    )
)  # fmt: skip

WORDS: Mapping[str, Kind] = {
    **dict.fromkeys(
        (
            "name", "names", "firstname", "lastname", "surname", "forename", "fullname", "nickname",
            "company", "firm", "firma", "manufacturer", "manufactured", "maker", "hersteller",
            "creator", "originator", "author", "requester", "requestor", "approver", "approvers",
            "buyer", "einkäufer", "contact", "contacts", "person", "employee", "user", "username",
            "attention", "attn", "owner", "signature", "salutation", "street", "str", "strasse",
            "straße", "road", "city", "town", "ort", "plz", "zip", "postal", "postcode", "address",
            "addresses", "addr", "adresse", "anschrift", "phone", "tel", "telephone", "telefon",
            "mobile", "mobil", "fax", "telefax", "mail", "email", "iban", "bic", "swift", "bank",
            "account", "acct", "konto", "vat", "tax", "ustid", "steuernummer", "duns", "passport",
            "ssn", "birthday", "geburtstag", "note", "notes", "remark", "remarks", "comment",
            "comments", "memo", "bemerkung", "bemerkungen", "notiz", "by",
            "secret", "password", "token", "credential", "credentials",
        ),
        "text",
    ),
    **dict.fromkeys(
        (
            "price", "prices", "preis", "preise", "amount", "amounts", "betrag", "cost", "costs",
            "kosten", "total", "totals", "subtotal", "summe", "money", "discount", "rabatt",
            "surcharge", "zuschlag", "fee", "fees", "salary", "budget", "spend", "netto", "brutto",
            "freight",
        ),
        "amount",
    ),
}  # fmt: skip

# Longer than a word that could stand within another one by chance.
PARTS: Mapping[str, Kind] = {
    **dict.fromkeys(
        ("telefon", "telephone", "straße", "strasse", "adresse", "address", "ansprechpartner",
         "kontonummer", "kontakt", "bankleitzahl", "hausnummer", "postleitzahl", "firmenname",
         "lieferantenname", "nachname", "vorname", "kundenname", "bearbeiter"),
        "text",
    ),
    **dict.fromkeys(("preis", "betrag", "kosten", "price", "amount"), "amount"),
}  # fmt: skip

# By these messages are joined.
NUMBERS = frozenset(
    (
        "number", "no", "nr", "num", "id", "identifier", "guid", "uuid", "key", "item", "material",
        "part", "component", "parent", "supplier", "vendor", "lieferant", "customer", "kunde",
        "order", "contract", "document", "teil", "artikel", "substitutes",
    )
)  # fmt: skip

# What stands right in them is as private as they are.
_PRIVATE = frozenset(
    (
        "address", "addresses", "adresse", "anschrift", "contact", "contacts", "person", "persons",
        "bank", "account", "accounts", "creator", "author", "user", "buyer", "requester",
        "approver", "company", "phone", "telephone", "telefon", "tel", "mobile", "fax",
        "owner", "originator",
    )
)  # fmt: skip
# Names that say nothing of their own: what is above them counts.
_PLAIN = frozenset({"value", "text", "content", "amount", "val", "money"})

_BEFORE_CAPITAL = re.compile(r"(?<=[^\W\d_])(?=[A-ZÄÖÜ][^\WA-ZÄÖÜ\d_])|(?<=[a-zäöüß])(?=[A-ZÄÖÜ])")
_BETWEEN = re.compile(r"[\W\d_]+")


class Fields:
    """What fields hold, by the rules of vendors and integrators and then by their words."""

    def __init__(self, rules: Mapping[str, Kind]) -> None:
        """rules: by a name, or the last names of a path with points between; case aside."""
        self._rules = {name.casefold(): kind for name, kind in rules.items()}
        self._deepest = max((name.count(".") + 1 for name in rules), default=1)
        self._known: dict[tuple[Sequence[str], str], Kind | None] = {}

    def kind(self, path: tuple[str, ...], label: str = "") -> Kind | None:
        """What the field at the end of the path holds; None = nobody knows.

        label: what its sibling says that a `value` is.
        """
        known = (path[-self._deepest - 1 :], label)
        if known not in self._known:
            self._known[known] = self._kind(path, label)
        return self._known[known]

    def _kind(self, path: tuple[str, ...], label: str) -> Kind | None:
        for depth in range(min(self._deepest, len(path)), 0, -1):
            rule = self._rules.get(".".join(path[-depth:]).casefold())
            if rule is not None:
                return rule
        name = path[-1] if path else ""
        kind, above = kind_of(name), path[-2] if len(path) > 1 else ""
        if label and kind is None:
            return self._rules.get(label.casefold()) or kind_of(label)
        is_private = kind_of(above) == "text" and not _PRIVATE.isdisjoint(words_of(above))
        if kind in (None, "number") and is_private:
            return "text"
        if kind is None and name.casefold() in _PLAIN:
            return self._rules.get(above.casefold()) or kind_of(above)
        return kind


def words_of(name: str) -> list[str]:
    """The words a field is called by, in lower case."""
    local = name.rpartition(":")[2]
    return [word for word in _BETWEEN.split(_BEFORE_CAPITAL.sub(" ", local).lower()) if word]


def kind_of(name: str) -> Kind | None:
    """What a field of that name holds; None = the table does not say."""
    words = words_of(name)
    if not words:
        return None
    pairs = [" ".join(pair) for pair in pairwise(words)]
    if pairs and pairs[-1] in PHRASES:
        return PHRASES[pairs[-1]]
    if words[-1] in KEPT:
        return "keep"
    found = next((PHRASES[pair] for pair in reversed(pairs) if pair in PHRASES), None)
    if found is not None:
        return found
    for word in reversed(words):
        if word in WORDS:
            return WORDS[word]
    together = "".join(words)
    for part, kind in PARTS.items():
        if part in together:
            return kind
    return "number" if words[-1] in NUMBERS else None


def column_rules(vendors: Mapping[str, Kind], filled: Sequence[tuple[str, str]]) -> dict[str, Kind]:
    """What the columns of a table hold, by the paths of the fields that they fill.

    A column that fills several holds what is most private of it.
    """
    fields = Fields(vendors)
    kinds: dict[str, set[Kind | None]] = {}
    for column, path in filled:
        kinds.setdefault(column, set()).add(fields.kind(tuple(path.split("."))))
    order: tuple[Kind, ...] = ("text", "amount", "number")
    rules: dict[str, Kind] = {}
    for column, found in kinds.items():
        rule = next((kind for kind in order if kind in found), None)
        if rule is not None:
            rules[column] = rule
        elif found == {"keep"}:
            rules[column] = "keep"
    return rules
