"""Functions: when a schedule fires, by the clock of a time zone."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from common.time_units import DAY, SECOND

_LOOKS_BACK = 8 * DAY
"""A service that was away for longer makes up for the last eight days."""
_EXPECTED = 'expected minute, hour, day, month and weekday, such as "0 6 * * mon"'


def check_schedule(cron: str, key: str = "cron") -> None:
    """Raise ValueError where the expression, the setting `key`, is none, or names a time that never comes."""
    if len(cron.split()) != 5:
        raise ValueError(f'{key}: got "{cron}", which has {len(cron.split())} fields; {_EXPECTED}')
    try:
        next(CronSim(cron, datetime(2024, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        raise ValueError(f'{key}: got "{cron}": {str(error).lower()}; {_EXPECTED}') from None
    except StopIteration:
        raise ValueError(f'{key}: got "{cron}", which never fires; {_EXPECTED}') from None


def next_firing(cron: str, time_zone: str, after: int) -> int:
    """The first time (ns since the epoch) after `after` at which the schedule fires.

    An hour that summer time leaves out fires at its end, and one that comes twice fires once (as Debian's cron does).
    """
    local = datetime.fromtimestamp(after // SECOND, ZoneInfo(time_zone))
    return int(next(CronSim(cron, local)).timestamp()) * SECOND


def newest_firing(cron: str, time_zone: str, after: int, until: int) -> int | None:
    """The newest time after `after` and not after `until` at which it fires; None where there is none.

    Those between that were missed are left out: what a schedule makes up for, it makes up for once.
    """
    found = None
    at = next_firing(cron, time_zone, max(after, until - _LOOKS_BACK))
    while at <= until:
        found, at = at, next_firing(cron, time_zone, at)
    return found
