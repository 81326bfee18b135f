"""Numbers and times as every contract takes them: in the bounds of what they are stored in."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""PostgreSQL's bigint. The decoder alone takes integers of any length."""

Instant = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time with its offset: one without would be read in a zone nobody stated."""
