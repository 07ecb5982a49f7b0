"""Alarm: the false alarms that the budget allows, and those that were seen, for all, by site and by device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from alerts.alarm_settings import AlarmSettings
from alerts.alarm_step import is_of_scores
from alerts.budget_rates import budget_rates
from alerts.incidents import site_of
from devices.records import AlarmRecord, SeriesRecord


@dataclass(slots=True)
class BudgetUse:
    """What a group of series is allowed and what it showed. `allowed` is None where a fixed threshold sets no budget.

    Of the alarms `raised` by scores, people have marked `right` and `wrong` some; what nobody has judged may be either.
    """

    name: str
    series: int = 0
    allowed: float | None = 0.0
    raised: int = 0
    right: int = 0
    wrong: int = 0

    @property
    def unjudged(self) -> int:
        """Alarms that nobody has marked."""
        return self.raised - self.right - self.wrong

    @property
    def is_exceeded(self) -> bool:
        """Whether more alarms turned out false than the budget allows, and more than one."""
        return self.allowed is not None and self.wrong > max(1.0, self.allowed)

    def sentence(self) -> str:
        """What a person reads."""
        allowed = (
            "a fixed threshold sets no budget" if self.allowed is None else f"{_few(self.allowed)} false ones allowed"
        )
        judged = f"{self.right} marked right, {self.wrong} marked wrong, {self.unjudged} not judged"
        return f"{allowed}; {self.raised} raised by scores: {judged}"


@dataclass(frozen=True, slots=True)
class BudgetUses:
    """The use of all series, and by site and device, those with the most wrong and then the most raised ones first."""

    everything: BudgetUse
    sites: list[BudgetUse] = field(default_factory=list)
    devices: list[BudgetUse] = field(default_factory=list)


def budget_uses(
    series: Sequence[SeriesRecord],
    alarms: Iterable[AlarmRecord],
    settings: AlarmSettings,
    start: int,
    end: int,
    *,
    since: Callable[[str], int | None] = lambda _device: None,
    site: Callable[[str], str] = site_of,
) -> BudgetUses:
    """The use over the time from `start` up to `end` (ns). `since` says from when on a device was there, if known."""
    records: Mapping[int, SeriesRecord] = {record.series: record for record in series}
    everything, sites, devices = BudgetUse("all"), dict[str, BudgetUse](), dict[str, BudgetUse]()

    def groups(device: str) -> tuple[BudgetUse, BudgetUse, BudgetUse]:
        place = site(device)
        return everything, sites.setdefault(place, BudgetUse(place)), devices.setdefault(device, BudgetUse(device))

    for number, rate in budget_rates(series, settings).items():
        device = records[number].device
        seconds = max(0, end - max(start, since(device) or start)) / 1e9
        for use in groups(device):
            use.series += 1
            use.allowed = None if settings.threshold is not None else (use.allowed or 0.0) + rate * seconds
    for alarm in alarms:
        record = records.get(alarm.series)
        if record is None or not start <= alarm.opened < end or not is_of_scores(alarm):
            continue
        for use in groups(record.device):
            use.raised += 1
            use.right += alarm.feedback == "right"
            use.wrong += alarm.feedback in ("wrong", "expected")
    return BudgetUses(everything, _worst_first(sites), _worst_first(devices))


def _few(count: float) -> str:
    return f"{count:.1f}" if count >= 1 or not count else f"{count:.2g}"


def _worst_first(uses: Mapping[str, BudgetUse]) -> list[BudgetUse]:
    return sorted(uses.values(), key=lambda use: (-use.wrong, -use.raised, use.name))
