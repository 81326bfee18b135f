"""What the fields of written segments hold, in the order in which their definitions have them.

Characters are those of the segment; where it takes a number of SAP's, the digits are those of the
number behind it (a quantity of 13 digits with 3 decimals). Sources: README.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Digits(NamedTuple):
    """Of a number: before the point, and behind it."""

    whole: int
    places: int = 0


# Types of the data dictionary: QUAN 13.3, CURR 11.2 and 13.2, DEC 3, 5 and 3.1.
QUANTITY = Digits(10, 3)
PRICE = Digits(9, 2)
VALUE = Digits(11, 2)
DAYS = Digits(3)
FACTOR = Digits(5)
PERCENT = Digits(2, 1)

DAY, UNIT, FLAG, FUNCTION = 8, 3, 1, 3
MATERIAL, LONG_MATERIAL, PARTNER = 18, 40, 10

FIELDS: Mapping[str, Mapping[str, int | Digits]] = {
    "EDI_DC40": {
        "TABNAM": 10,
        "MANDT": 3,
        "DOCNUM": 16,
        "DOCREL": 4,
        "STATUS": 2,
        "DIRECT": 1,
        "OUTMOD": 1,
        "TEST": FLAG,
        "IDOCTYP": 30,
        "MESTYP": 30,
        "SNDPOR": 10,
        "SNDPRT": 2,
        "SNDPRN": 10,
        "RCVPOR": 10,
        "RCVPRT": 2,
        "RCVPRN": 10,
        "CREDAT": DAY,
        "CRETIM": 6,
        "SERIAL": 20,
    },
    "E1MARAM": {
        "MSGFN": FUNCTION,
        "MATNR": MATERIAL,
        "LVORM": FLAG,
        "MTART": 4,
        "MATKL": 9,
        "MEINS": UNIT,
        "BRGEW": QUANTITY,
        "NTGEW": QUANTITY,
        "GEWEI": UNIT,
        "VOLUM": QUANTITY,
        "VOLEH": UNIT,
        "EAN11": 18,
        "MSTAE": 2,
        "MATNR_LONG": LONG_MATERIAL,
    },
    "E1MAKTM": {"MSGFN": FUNCTION, "SPRAS": 1, "MAKTX": 40, "SPRAS_ISO": 2},
    "E1MARCM": {
        "MSGFN": FUNCTION,
        "WERKS": 4,
        "LVORM": FLAG,
        "EKGRP": 3,
        "PLIFZ": DAYS,
        "BESKZ": 1,
        "BSTMI": QUANTITY,
        "MMSTA": 2,
    },
    "E1MARMM": {"MSGFN": FUNCTION, "MEINH": UNIT, "UMREZ": FACTOR, "UMREN": FACTOR},
    "E1EDK01": {"ACTION": 3, "CURCY": 3, "ZTERM": 17, "BSART": 4, "BELNR": 35},
    "E1EDK14": {"QUALF": 3, "ORGID": 35},
    "E1EDK03": {"IDDAT": 3, "DATUM": DAY},
    "E1EDKA1": {"PARVW": 3, "PARTN": 17, "LIFNR": 17},
    "E1EDK02": {"QUALF": 3, "BELNR": 35},
    "E1EDP01": {
        "POSEX": 6,
        "ACTION": 3,
        "MENGE": QUANTITY,
        "MENEE": UNIT,
        "PMENE": UNIT,
        "VPREI": 15,
        "PEINH": FACTOR,
        "CURCY": 3,
        "WERKS": 4,
    },
    "E1EDP02": {"QUALF": 3, "BELNR": 35, "ZEILE": 6},
    "E1EDP20": {"WMENG": QUANTITY, "AMENG": QUANTITY, "EDATU": DAY},
    "E1EDP19": {"QUALF": 3, "IDTNR": 35, "KTEXT": 70, "IDTNR_LONG": LONG_MATERIAL},
    "E1EDS01": {"SUMID": 3, "SUMME": 18, "SUNIT": 3},
}
