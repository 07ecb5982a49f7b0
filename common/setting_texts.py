"""Texts that settings of several rooms hold: each is checked where it is read, and kept as written."""

from __future__ import annotations

import re
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator

_PLAIN_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


def check_time_zone(name: str) -> str:
    """The name of a time zone. Raises ValueError for one that is not in the time zone database."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f'unknown "{name}"; expected a name such as Europe/Berlin') from None
    return name


def _check_plain_name(name: str) -> str:
    if not _PLAIN_NAME.fullmatch(name):
        raise ValueError(f'got "{name}", expected a small letter, then small letters, digits and _, at most 63')
    return name


TimeZoneName = Annotated[str, AfterValidator(check_time_zone)]
"""A settings field that holds the name of a time zone, such as "Europe/Berlin"."""

PlainName = Annotated[str, AfterValidator(_check_plain_name)]
"""A settings field that holds a name which is one of a table in SQL and a level of a topic as it stands."""
