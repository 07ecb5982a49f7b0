"""A report as people read it, in a mail as well as in a file, and as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from alerts.budget_use import BudgetUse
from alerts.figures import ACCEPTABLE_PER_HOUR, AlarmFigures
from alerts.notices.wording import Message
from common.durations import spoken_duration
from common.time_units import DAY, SECOND
from driftline.report.report_making import Report, Storage

_LISTED = 10
_MOST_SILENT = 30


def report_text(report: Report, time_zone: str = "UTC") -> str:
    """The report in words, as Markdown."""
    zone = ZoneInfo(time_zone)
    figures = report.figures
    named = [f"- {' '.join(report.names[series])}: {count}" for series, count in figures.top[:_LISTED]]
    severities = ", ".join(f"{count} {name}" for name, count in sorted(figures.severities.items()))
    lines = [
        f"# Driftline from {_moment(report.start, zone)} to {_moment(report.end, zone)}",
        "",
        "## Alarms",
        f"- {figures.alarms} opened{f' ({severities})' if severities else ''}{_rate(figures, zone)}",
        f"- {figures.open} open now: {figures.unacknowledged} not taken on, {len(figures.stale)} for more than a day",
        f"- {figures.floods} floods (more than 10 in ten minutes), {len(figures.chattering)} chattering series",
        *_section("## Most alarms", named),
        "",
        "## False alarms",
        f"- budget: {report.budget}",
        f"- all {report.uses.everything.series} sensors: {report.uses.everything.sentence()}",
        *_section("### By site", _uses(report.uses.sites)),
        *_section("### By device", _uses(report.uses.devices)),
        *_section("## Silent now", _silent(report)),
        "",
        "## Storage",
        *_storage(report),
    ]
    return "\n".join(lines) + "\n"


def report_json(report: Report) -> dict[str, Any]:
    """The report for programs."""
    figures = dataclasses.asdict(report.figures)
    for left_out in ("top", "hours", "chattering", "stale"):
        figures.pop(left_out)
    top = [
        {"series": series, "device": report.names[series][0], "metric": report.names[series][1], "alarms": count}
        for series, count in report.figures.top
    ]
    storage = report.storage
    return {
        "start": report.start,
        "end": report.end,
        "alarms": figures | {"verdict": report.figures.verdict, "stale": len(report.figures.stale), "top": top},
        "budget": report.budget,
        "false_alarms": _use(report.uses.everything),
        "sites": [_use(each) for each in report.uses.sites],
        "devices": [_use(each) for each in report.uses.devices if each.raised],
        "silent": [dataclasses.asdict(each) for each in report.silent],
        "storage": dataclasses.asdict(storage)
        | {name: getattr(storage, name) for name in ("grown", "a_day", "full_size", "days_left")},
    }


def report_message(report: Report, time_zone: str) -> Message:
    """The report as a notice. Its key is of the time that it is about, so that none comes twice."""
    zone = ZoneInfo(time_zone)
    wrong = report.uses.everything
    subject = (
        f"Driftline {_moment(report.start, zone)[:10]} to {_moment(report.end, zone)[:10]}: "
        f"{report.figures.alarms} alarms, {wrong.wrong} wrong, {len(report.silent)} silent"
    )
    return Message(
        f"report-{report.end}", subject, report_text(report, time_zone), {"event": "report", **report_json(report)}
    )


def _section(title: str, lines: list[str]) -> list[str]:
    return ["", title, *lines] if lines else []


def _uses(uses: Iterable[BudgetUse]) -> list[str]:
    """Those that had alarms, the worst first; one that is past its budget says so."""
    shown = [use for use in uses if use.raised][:_LISTED]
    return [f"- {use.name}: {use.sentence()}{' (over its budget)' if use.is_exceeded else ''}" for use in shown]


def _use(use: BudgetUse) -> dict[str, Any]:
    return dataclasses.asdict(use) | {"unjudged": use.unjudged, "exceeded": use.is_exceeded}


def _silent(report: Report) -> list[str]:
    lines = [
        f"- {each.device}{f' {each.metric}' if each.metric else ''}: {each.reason}"
        for each in report.silent[:_MOST_SILENT]
    ]
    if beyond := len(report.silent) - len(lines):
        lines.append(f"- and {beyond} more")
    return lines or ["- none"]


def _storage(report: Report) -> list[str]:
    storage = report.storage
    return [
        f"- {storage.readings:,} readings came in this time; {storage.stored:,} are stored",
        f"- the data folder takes {_size(storage.bytes)}, of which this time's readings about {_size(storage.grown)}",
        f"- {_size(storage.free)} are free on its disk{_enough(storage)}",
    ]


def _enough(storage: Storage) -> str:
    """For how long what is free is enough, by the rate of the time and by how long readings are kept."""
    if not storage.readings:
        return ""
    if storage.a_day is None:
        told = spoken_duration(int(storage.days * DAY))
        return f": there are readings of {told}, too short to tell for how long that is enough"
    if storage.days_left is not None:
        return f": enough for {storage.days_left:,.0f} days at this rate, {_size(storage.a_day)} a day"
    return (
        f": enough for good at this rate; readings stay for {storage.kept_days:g} days, and the data folder grows to "
        f"about {_size(storage.full_size or 0.0)}"
    )


def _rate(figures: AlarmFigures, zone: ZoneInfo) -> str:
    """How many open in an hour and what that means; how long there was something to watch where that is not all."""
    if figures.since >= figures.end:
        return ": no device was there to watch"
    if figures.is_short:
        watched = spoken_duration(figures.end - figures.since)
        return f" in the {watched} since the first device was seen: too short for a rate"
    since = f" since {_moment(figures.since, zone)}" if figures.since > figures.start else ""
    judged = f"{figures.verdict} for one person (up to {ACCEPTABLE_PER_HOUR:g} acceptable)"
    return f", {figures.per_hour:.2g} an hour{since}: {judged}"


def _size(count: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def _moment(time: int, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(time / SECOND, zone).strftime("%Y-%m-%d %H:%M %Z")
