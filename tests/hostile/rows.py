"""The catalogue of hostile input: one row each, with the code its case carries.

`+` = taken: it only looks hostile. `broker` = refused where it is published.
"""

from __future__ import annotations

from collections.abc import Mapping

ROWS: Mapping[str, tuple[str, str]] = {
    "H01": ("message_id of invalid UTF-8", "amqp-property"),
    "H02": ("AMQP timestamp of 2^64-1", "amqp-property"),
    "H03": ("header name of invalid UTF-8", "amqp-property"),
    "H04": ("header table nested 3,000 deep", "amqp-property"),
    "H05": ("100 kB of tiny headers", "amqp-property"),
    "H06": ("body of 20 MiB", "broker, body-too-large"),
    "H07": ("empty body, body of blanks", "body-empty"),
    "H08": ("gzip bomb", "amqp-property"),
    "H09": ("forged x-death, x-delivery-count, x-first-death-*", "+"),
    "H10": ("user_id that is not the login", "broker"),
    "H11": ("no user_id where one is required, another source's name", "source-mismatch"),
    "H12": ("unknown contract or version", "contract-unknown, event-unknown"),
    "H13": ("id missing, endless, or with controls", "attribute-missing, identity-unusable"),
    "H14": ("one id from two sources", "+"),
    "H15": ("100,000 nested arrays", "body-too-deep"),
    "H16": ("integer of 4,000 digits", "contract-violated"),
    "H17": ("1e400, NaN, Infinity", "contract-violated, undecodable"),
    "H18": ("decimals that are none", "number-malformed, number-out-of-bounds"),
    "H19": ("NUL in a text", "character-forbidden"),
    "H20": ("lone surrogate, invalid or overlong UTF-8", "undecodable"),
    "H21": ("a key given twice", "key-twice"),
    "H22": ("byte order mark, UTF-16, trailing bytes, comments", "undecodable"),
    "H23": ("bool, float or text for an integer", "contract-violated"),
    "H24": ("no zone, beyond the calendar, leap second", "contract-violated, time-out-of-bounds"),
    "H25": ("2,000,000 elements, 200,000 keys", "broker, body-too-many-values"),
    "H26": (
        "hidden, disguised and decomposed characters",
        "character-forbidden, character-lookalike, identity-unusable",
    ),
}
