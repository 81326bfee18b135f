"""What codes of IDocs mean. Customers may give them other meanings: these are tables, not rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from canonical.item import Lifecycle, Procurement
from canonical.lifecycle import inbound
from canonical.masking import Kind

# Qualifiers of E1EDK02 and E1EDP02: references to documents.
ORDER_OF_BUYER, ORDER_OF_SUPPLIER = "001", "002"
# Of E1EDP19: numbers of materials.
ITEM_OF_BUYER, ITEM_OF_SUPPLIER = "001", "002"
# Of E1EDK03: days.
ORDERED_ON = "012"
# Of E1EDK14: organisations.
PURCHASING_ORGANISATION = "014"
# Of E1EDKA1: partners.
SUPPLIER = "LF"
# Of E1EDS01: totals.
NET_VALUE = "002"

# ACTION of a line of a confirmation: what is left out is told by its quantities. Field knowledge.
DELETED: Mapping[str, str] = {"003": "deleted"}
# Of a line: it is new. ACTIONS: all that a line of IDocs has. Field knowledge.
ADDED = "001"
ACTIONS = frozenset({"000", "001", "002", "003", "004"})
# ACTION of a line of an order: whether the line is on order. One that is locked, 005, is neither.
ON_ORDER: Mapping[str, bool] = {
    "": True,
    "000": True,
    "001": True,
    "002": True,
    "003": False,
    "004": True,
}
# ACTION of an order's header, with meanings of its own: whether the order stands. 001 takes it back
# as a whole; 003 says no more than that lines have changed.
TAKEN_BACK = "001"
STANDS: Mapping[str, bool] = {
    "": True,
    "000": True,
    TAKEN_BACK: False,
    "002": True,
    "003": True,
    "004": True,
}

# "As it is": the sender did not select this field.
NO_CHANGE = "/"
# DIRECT of a control record: for the SAP system.
INTO_SAP = "2"
# STATUS of an IDoc that was sent: the receiver has the object. FAILED: it has not, or not all of
# it. Up to 42 an SAP system tells of what it sends itself, from 50 on of what it takes.
POSTED = frozenset({"41", "53"})
FAILED: Mapping[str, str] = {
    "02": "not passed to the port",
    "04": "error in the control information",
    "05": "error in the translation",
    "07": "error in the syntax",
    "09": "error in the interchange",
    "11": "not dispatched",
    "15": "interchange refused",
    "17": "refused",
    "20": "translator not started",
    "21": "not passed on, test",
    "23": "not sent again",
    "26": "error in the syntax",
    "27": "not dispatched",
    "29": "not dispatched",
    "31": "error, no further processing",
    "34": "error in the control record",
    "36": "not signed in time",
    "37": "taken in with errors",
    "40": "not created in the receiving system",
    "51": "not posted",
    "52": "not posted completely",
    "54": "error in the formal check",
    "56": "taken in with errors",
    "57": "error in the check, test",
    "60": "error in the syntax",
    "63": "not passed to the application",
    "65": "not passed to the application",
    "68": "error, no further processing",
}
ON_THE_WAY = (
    frozenset(f"{number:02d}" for number in (*range(1, 43), *range(50, 76)))
    - POSTED
    - FAILED.keys()
)

# What becomes of an IDoc that comes in. posted in part: something of it was left out. let go: a
# person decided that nothing of it is done.
Fate = Literal["posted", "posted in part", "waiting", "refused", "let go"]


class Telling(NamedTuple):
    """How a fate is told. taken_in: STATUS of the IDoc where it came in, which an ALEAUD tells.
    sent: of the IDoc where it was sent, which a STATUS sets. severity: STATYP."""

    taken_in: str
    sent: str
    severity: str


# That a STATUS may set 39 to 41, and that 68 is what a person lets go of: field knowledge.
TELLINGS: Mapping[Fate, Telling] = {
    "posted": Telling("53", "41", "S"),
    "posted in part": Telling("52", "41", "W"),
    "waiting": Telling("64", "39", "I"),
    "refused": Telling("51", "40", "E"),
    "let go": Telling("68", "40", "E"),
}
# Statuses below are those of IDocs that were sent, the others of those that were taken in.
FIRST_TAKEN_IN = "50"

# MSGFN of a segment: this is deleted; this takes the place of what was.
DELETE, REPLACE = "003", "005"
# Of a flag: set.
MARKED = "X"
# BESKZ. X is both: which of them a plant does is not told by it.
PROCUREMENT: Mapping[str, Procurement] = {"E": "make", "F": "buy"}
PROCUREMENT_OF: Mapping[Procurement, str] = {means: code for code, means in PROCUREMENT.items()}
# Status over all plants, MSTAE: every customer has numbers of his own, so none is mapped until a
# row says it.
LIFECYCLE: Mapping[str, Lifecycle] = inbound("sap-material-status")

# SPRAS, SAP's letter for a language -> ISO 639. Field knowledge.
LANGUAGES: Mapping[str, str] = {
    "1": "ZH",
    "3": "KO",
    "C": "CS",
    "D": "DE",
    "E": "EN",
    "F": "FR",
    "H": "HU",
    "I": "IT",
    "J": "JA",
    "K": "DA",
    "L": "PL",
    "N": "NL",
    "O": "NO",
    "P": "PT",
    "R": "RU",
    "S": "ES",
    "T": "TR",
    "U": "FI",
    "V": "SV",
}
LANGUAGE_OF: Mapping[str, str] = {iso: letter for letter, iso in LANGUAGES.items()}
# ESOKZ, category of an info record.
CATEGORIES: Mapping[str, str] = {
    "0": "standard",
    "2": "consignment",
    "3": "subcontracting",
    "P": "pipeline",
}
CATEGORY_OF: Mapping[str, str] = {means: code for code, means in CATEGORIES.items()}
# KAPPL of a condition: purchasing. KSCHL: types that are the price itself, as SAP delivers them and
# as S/4HANA has them. KRECH: by quantity; an empty one is what the type has by default.
PURCHASING = "M"
PRICE_CONDITIONS = frozenset({"PB00", "PBXX", "PPR0"})
BY_QUANTITY = frozenset({"", "C"})
# STFKZ: scales from a quantity on.
FROM_SCALES = frozenset({"", "A"})
# Of a condition that is written. KVEWE: that prices are determined by; KSCHL: the price itself, as
# SAP has delivered it longest; KZBZG: scales by quantity. KOTABNR: prices of info records of an
# organisation, and of one of its plants. Field knowledge.
FOR_PRICES, PRICE_CONDITION, CALCULATED, FROM_SCALE, BY_QUANTITIES = "A", "PB00", "C", "A", "C"
OF_ORGANISATION, OF_PLANT = "018", "017"
# POSTP of a BOM's line that may name no component: what it is, and the fields that say it.
CLASS_LINE = "K"
WITHOUT_COMPONENT: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "T": ("text", ("POTX1", "POTX2")),
    "D": ("document", ("DOKAR", "DOKNR", "DOKTL", "DOKVR", "POTX1")),
    CLASS_LINE: ("class", ("KLASSE", "POTX1")),
    "N": ("non-stock", ("POTX1", "POTX2")),
}
# POSTP of a line that is written: the kind of a note -> it. A line with a component is one of
# stock. STLTY: a BOM of a material.
NOTES: Mapping[str, str] = {"text": "T", "non-stock": "N"}
STOCK_LINE, OF_MATERIAL = "L", "M"
# Tax numbers of a supplier.
TAX_NUMBERS: Mapping[str, str] = {
    "STCEG": "vat",
    "STCD1": "tax-1",
    "STCD2": "tax-2",
    "STCD3": "tax-3",
    "STCD4": "tax-4",
    "STCD5": "tax-5",
}

# IDocs carry ISO codes of units, whatever SAP shows on its screens.
ALIASES = "sap-iso"

# What fields hold that is nobody else's business, and numbers that join messages. Names of the
# data dictionary are short and mean the same in every segment. Field knowledge.
MASKED: Mapping[str, Kind] = {
    **dict.fromkeys(
        ("NAME1", "NAME2", "NAME3", "NAME4", "BNAME", "ERNAM", "AENAM", "STRAS", "STRS2", "HAUSN",
         "ORT01", "ORT02", "PSTLZ", "PFACH", "PSTL2", "COUNC", "TELF1", "TELF2", "TELFX", "TELBX",
         "TELTX", "TELX1", "ABLAD", "IHREZ", "ORGTX", "PARNR", "NAMEV", "STCD1", "STCD2", "STCEG",
         "BANKN", "BANKL", "BKONT", "KOINH", "IBAN", "SWIFT", "SMTP_ADDR", "TDLINE",
         "EIGENUINR", "KUNDEUINR", "UINR", "STATXT", "STAPA1", "STAPA2", "STAPA3", "STAPA4",
         "STAPA1_LNG", "STAPA2_LNG", "STAPA3_LNG", "STAPA4_LNG"),
        "text",
    ),
    **dict.fromkeys(
        ("NETPR", "VPREI", "NETWR", "BRTWR", "PREIS", "BETRG", "KRATE", "KPERC", "SUMME", "MWSBT",
         "KBETR", "EFFPR", "BPREI", "STPRS", "VERPR", "VMVPR", "VMVER", "VMSTP", "VJVPR", "VJVER",
         "VJSTP", "ZKPRS", "BWPRS", "BWPRH", "VJBWS", "VJBWH", "ZPLPR", "ZPLP1", "ZPLP2", "ZPLP3",
         "BWPH1", "BWPS1", "LFLPRS", "EKPRS", "SKFBT", "WERT"),
        "amount",
    ),
    **dict.fromkeys(
        ("MATNR", "MATNR_LONG", "IDTNR", "IDTNR_LONG", "BELNR", "LIFNR", "PARTN", "KUNNR",
         "RECIPNT_NO", "ILNNR", "EAN11", "DOCNUM", "PMATN", "PMATN_LONG", "OBJKEY"),
        "number",
    ),
}  # fmt: skip
