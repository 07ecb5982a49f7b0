"""The report: what it counts, what it says, and that each is made and sent once."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from receivers import MailServer

from alerts.alarm_settings import AlarmOverride, AlarmSettings
from alerts.budget_use import budget_uses
from alerts.notices.notice_settings import NoticeSettings
from alerts.notices.notifier import Notifier
from alerts.notices.outbox import Outbox
from devices.batch import Batch, ScoredBatch
from devices.records import AlarmRecord, AlarmState, DeviceRecord, SeriesRecord
from driftline.cli.command_line import main
from driftline.config import Config
from driftline.report.report_making import Report, kept_for, make_report
from driftline.report.report_settings import ReportSettings
from driftline.report.report_text import report_json, report_text
from driftline.runtime.data_folder import DataFolder
from driftline.runtime.report_desk import ReportDesk
from storage.embedded.database import EmbeddedStore
from storage.storage_settings import ArchiveSettings, StoreSettings
from storage.store import StepOutput

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
MONDAY = 1_772_434_800 * SECOND  # 2026-03-02 07:00 UTC
SERIES = [
    SeriesRecord(0, "hall-1/pump-1", "temperature"),
    SeriesRecord(1, "hall-1/pump-1", "vibration"),
    SeriesRecord(2, "hall-2/fan-1", "speed"),
    SeriesRecord(3, "hall-2/fan-1", "device:silent"),
]


def alarm(number: int, series: int, days_ago: float, feedback: str = "", part: str = "level") -> AlarmRecord:
    opened = MONDAY - int(days_ago * DAY)
    return AlarmRecord(
        number, series, AlarmState.OPEN, opened, None, "minor", 5.0, 1.0, 0.0, "silent for 3 h", {part: 5.0},
        feedback=feedback,
    )  # fmt: skip


ALARMS = [
    alarm(1, 0, 1, "wrong"),
    alarm(2, 0, 2, "expected"),
    alarm(3, 1, 3, "right"),
    alarm(4, 2, 4),
    alarm(5, 2, 8),
    alarm(6, 3, 1, part="silent"),
]


def test_false_alarms_allowed_are_those_of_the_budget_and_the_time_watched() -> None:
    settings = AlarmSettings(
        budget="1 per sensor per week", overrides=[AlarmOverride(metric="vibration", budget="2 per sensor per day")]
    )
    since = {"hall-2/fan-1": MONDAY - 7 * DAY // 2}
    uses = budget_uses(SERIES[:3], ALARMS, settings, MONDAY - 7 * DAY, MONDAY, since=since.get)
    told = [(use.name, round(use.allowed or 0, 6), use.raised, use.right, use.wrong) for use in uses.devices]
    assert told == [("hall-1/pump-1", 15.0, 3, 1, 2), ("hall-2/fan-1", 0.5, 1, 0, 0)]
    assert uses.everything.sentence() == (
        "15.5 false ones allowed; 4 raised by scores: 1 marked right, 2 marked wrong, 1 not judged"
    )
    assert [use.is_exceeded for use in uses.devices] == [False, False]
    shared = budget_uses(SERIES[:3], ALARMS, AlarmSettings(budget="7 per week for all"), MONDAY - 7 * DAY, MONDAY)
    assert [round(use.allowed or 0, 6) for use in shared.sites] == [pytest.approx(14 / 3), pytest.approx(7 / 3)]


def test_more_marked_wrong_than_allowed_is_over_the_budget() -> None:
    uses = budget_uses(SERIES[:3], ALARMS, AlarmSettings(budget="1 per sensor per year"), MONDAY - 7 * DAY, MONDAY)
    assert [(use.name, use.is_exceeded) for use in uses.sites] == [("hall-1", True), ("hall-2", False)]


@pytest.mark.parametrize(
    ("at", "zone", "now", "due"),
    [
        ("Mon 07:00", "UTC", 0, 0),
        ("Mon 07:00", "UTC", -1, -7 * DAY),
        ("Mon 07:00", "UTC", 3 * DAY, 0),
        ("07:00", "UTC", 3 * DAY + SECOND, 3 * DAY),
        ("06:59", "UTC", 0, -60 * SECOND),
        ("Mon 07:00", "Europe/Berlin", 0, -3600 * SECOND),
        ("", "UTC", 0, None),
    ],
)
def test_when_a_report_was_due_last(at: str, zone: str, now: int, due: int | None) -> None:
    found = ReportSettings(at=at, time_zone=zone).last_due(MONDAY + now)
    assert (None if found is None else found - MONDAY) == due


@pytest.mark.parametrize("at", ["Someday 07:00", "Mon", "25:00", "Mon 7"])
def test_a_time_that_is_none_is_refused(at: str) -> None:
    with pytest.raises(ValidationError, match=f'at: got "{at}", expected a day and time such as "Mon 07:00"'):
        ReportSettings(at=at)


def filled(folder: DataFolder) -> None:
    folder.path.mkdir()
    time = MONDAY - np.arange(1, 1001) * (8 * DAY // 1000)
    empty = np.full(1000, np.nan)
    points = ScoredBatch(
        np.zeros(1000, np.int32), time, np.ones(1000), empty, empty, empty, empty,
        np.zeros(1000, np.bool_), np.zeros(1000, np.bool_),
    )  # fmt: skip
    output = StepOutput(
        position=0, next_position=1, points=points, series=SERIES, dead_letters=[], alarms=ALARMS, actions=[],
        counts={}, registered=[DeviceRecord("hall-2/fan-1", first_seen=MONDAY - DAY)],
    )  # fmt: skip
    with EmbeddedStore(folder.database) as store:
        store.commit(output)


def test_a_report_comes_once_as_a_file_and_as_a_mail(tmp_path: Path, wait_until: Callable[..., None]) -> None:
    folder = DataFolder(tmp_path / "var")
    filled(folder)
    mail = MailServer().start()
    channel = NoticeSettings(name="shift", kind="mail", url=mail.url, to=["shift@plant.example"])
    config = Config(report=ReportSettings(at="Mon 07:00", notices=["shift", "gone"]))
    with EmbeddedStore(folder.database) as store, Outbox(folder.notices) as outbox:
        notifier = Notifier(outbox, [(channel, "")], clock=lambda: MONDAY + 60 * SECOND, publish=lambda *_: None)
        notifier.start()
        try:
            for _ in range(2):  # the second time as after a kill between the mail and the file
                desk = ReportDesk(folder.path, store, lambda: config, lambda: notifier, lambda: MONDAY + 60 * SECOND)
                desk.look()
                desk.stop()
                path = desk.path(MONDAY)
                text = path.read_text()
                path.unlink()
            wait_until(lambda: mail.mails, what="the mail")
        finally:
            notifier.stop()
            mail.stop()
    assert path.name == "2026-03-02T0700Z.md"
    (sent,) = mail.mails
    assert sent["Subject"] == "Driftline 2026-02-23 to 2026-03-02: 5 alarms, 2 wrong, 1 silent"
    said = sent.get_content().replace("\r\n", "\n")
    assert said.partition("\n- the data folder")[0] == text.partition("\n- the data folder")[0]
    for line in (
        "# Driftline from 2026-02-23 07:00 UTC to 2026-03-02 07:00 UTC",
        "- 5 opened (5 minor), 0.03 an hour: acceptable for one person (up to 6 acceptable)",
        "- hall-1/pump-1 temperature: 2",
        "- all 3 sensors: 2.1 false ones allowed; 4 raised by scores: 1 marked right, 2 marked wrong, 1 not judged",
        "- hall-2/fan-1: silent for 3 h",
        "- 875 readings came in this time; 1,000 are stored",
    ):
        assert line in text.splitlines(), text


def test_the_command_tells_the_same_without_a_service(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = DataFolder(tmp_path / "var")
    filled(folder)
    assert main(["report", "--days", "366", "--format", "json", "--data", str(folder.path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["budget"] == "1 per sensor per week"
    assert [use["name"] for use in found["sites"]] == ["hall-1", "hall-2"]
    assert found["storage"]["stored"] == 1000
    assert main(["report", "--data", str(folder.path)]) == 0
    assert "## False alarms" in capsys.readouterr().out


def of_age(folder: DataFolder, hours: int, rate: int) -> Report:
    """The report of a week after so many hours with `rate` readings each, in a folder that keeps them for 30 days."""
    folder.path.mkdir()
    time = np.repeat(MONDAY - np.arange(1, hours + 1) * DAY // 24, rate) + np.tile(np.arange(rate), hours)
    points = ScoredBatch.unscored(Batch(np.zeros(len(time), np.int32), time, np.ones(len(time))), late=False)
    seen = [DeviceRecord(name, first_seen=int(time.min())) for name in ("hall-1/pump-1", "hall-2/fan-1")]
    output = StepOutput(
        position=0, next_position=1, points=points, series=SERIES, alarms=ALARMS[:1] if hours > 24 else [], counts={},
        registered=seen,
    )  # fmt: skip
    with EmbeddedStore(folder.database) as store:
        store.commit(output)
        return make_report(store, AlarmSettings(), folder.path, MONDAY - 7 * DAY, MONDAY, kept=30 * DAY)


def test_a_service_of_some_hours_has_no_rates_yet(tmp_path: Path) -> None:
    report = of_age(DataFolder(tmp_path / "var"), hours=2, rate=10)
    said = report_text(report)
    assert "- 0 opened in the 2 h since the first device was seen: too short for a rate\n" in said
    assert "are free on its disk: there are readings of 2 h, too short to tell for how long that is enough\n" in said
    found = report_json(report)["storage"]
    assert (found["a_day"], found["full_size"], found["days_left"]) == (None, None, None)


def test_growth_is_of_the_days_with_readings_and_ends_where_readings_leave(tmp_path: Path) -> None:
    report = of_age(DataFolder(tmp_path / "var"), hours=48, rate=10)
    said = report_text(report)
    assert "- 1 opened (1 minor), 0.021 an hour since 2026-02-28 07:00 UTC: acceptable for one person" in said
    storage = report.storage
    assert (storage.days, storage.a_day) == (2.0, storage.bytes / 2)
    assert storage.full_size == storage.bytes * 15
    assert "are free on its disk: enough for good at this rate; readings stay for 30 days, and the data folder " in said
    full = replace(storage, free=storage.bytes * 7)
    assert full.days_left == 14.0
    assert "enough for 14 days at this rate" in report_text(replace(report, storage=full))
    for_good = replace(storage, kept_days=None)
    assert (for_good.full_size, for_good.days_left) == (None, storage.free / (storage.bytes / 2))


def test_how_long_readings_stay_is_said_by_the_store_or_the_archive() -> None:
    assert kept_for(StoreSettings(keep="10d"), ArchiveSettings()) == 10 * DAY
    assert kept_for(StoreSettings(), ArchiveSettings(folder="cold", after="2d", keep="90d")) == 90 * DAY
    assert kept_for(StoreSettings(), ArchiveSettings(folder="cold")) is None
    assert kept_for(StoreSettings(), ArchiveSettings(folder="s3://bucket/cold", after="2d")) == 3 * DAY
