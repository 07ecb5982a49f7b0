import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from devices.fault_labels import Expected, FaultLabel, Severity, write_labels
from driftline.cli.command_line import main
from tuning.intervals import mean, median, rate, share
from tuning.missed_faults import ScoredSeries, with_causes
from tuning.scorecard import Alarm, Score, Verdict, Watch, score_alarms
from tuning.scorecard_details import write_details
from tuning.scorecard_tables import by_kind, cards, missed_reasons, overall, unseen_reasons

MINUTE = 60_000_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def watch(*names: str, days: int = 14) -> Watch:
    times = np.arange(0, days * DAY, MINUTE, dtype=np.int64)
    return Watch("plant", {(name, "value"): times for name in names}, 0, days * DAY, 7 * DAY)


def label(device: str, start: int, end: int, **more: object) -> FaultLabel:
    root = more.pop("root", f"{device}/{start}")
    return FaultLabel(device, "value", str(more.pop("kind", "stuck")), start, end, Severity.MAJOR, root, **more)  # type: ignore[arg-type]


def alarm(device: str, start: int, end: int) -> Alarm:
    return Alarm(device, "value", start, end, "default")


def only(score: Score) -> tuple[bool, float, float, float]:
    (fault,) = score.faults
    return fault.found, fault.delay_readings, fault.delay_seconds, fault.open_share


def test_an_alarm_within_a_fault_finds_it_with_its_delay_and_its_share_of_the_time() -> None:
    fault = label("a", 8 * DAY, 8 * DAY + 2 * HOUR)
    score = score_alarms(watch("a"), [fault], [alarm("a", 8 * DAY + 30 * MINUTE, 8 * DAY + 3 * HOUR)])
    assert only(score) == (True, 30.0, 1800.0, 0.75)
    assert [outcome.verdict for outcome in score.alarms] == [Verdict.TRUE]


def test_an_alarm_that_was_open_before_finds_nothing_and_is_false() -> None:
    fault = label("a", 8 * DAY, 8 * DAY + 2 * HOUR)
    score = score_alarms(watch("a"), [fault], [alarm("a", 7 * DAY, 14 * DAY)])
    assert not score.faults[0].found
    assert score.faults[0].open_share == 1.0
    assert [outcome.verdict for outcome in score.alarms] == [Verdict.FALSE]


def test_the_return_to_normal_still_belongs_to_the_fault_but_a_later_alarm_does_not() -> None:
    end = 8 * DAY + 10 * HOUR
    fault = label("a", 8 * DAY, end)
    moments = (end + HOUR, end + HOUR + 16 * MINUTE)
    score = score_alarms(watch("a"), [fault], [alarm("a", at, at + MINUTE) for at in moments])
    assert [outcome.verdict for outcome in score.alarms] == [Verdict.TRUE, Verdict.FALSE]
    assert score.faults[0].alarms == 1


def test_an_alarm_on_another_device_or_metric_is_false() -> None:
    fault = label("a", 8 * DAY, 8 * DAY + HOUR)
    at = 8 * DAY + MINUTE
    score = score_alarms(watch("a", "b"), [fault], [alarm("b", at, at + HOUR), Alarm("a", "other", at, at + HOUR)])
    assert not score.faults[0].found
    assert {outcome.verdict for outcome in score.alarms} == {Verdict.FALSE}


def test_an_alarm_of_the_whole_device_finds_a_fault_of_its_metric_and_the_other_way_round() -> None:
    at = 8 * DAY + MINUTE
    of_metric = label("a", 8 * DAY, 8 * DAY + HOUR)
    of_device = FaultLabel("b", "*", "dropout", 8 * DAY, 8 * DAY + HOUR, Severity.CRITICAL, "b/1")
    score = score_alarms(watch("a", "b"), [of_metric, of_device], [Alarm("a", "*", at, at + HOUR), alarm("b", at, at)])
    assert [fault.found for fault in score.faults] == [True, True]


def test_metrics_of_one_root_are_one_fault_and_one_alarm_finds_it() -> None:
    end = 8 * DAY + HOUR
    labels = [label("a", 8 * DAY, end, root="pump"), label("b", 8 * DAY, end, root="pump")]
    score = score_alarms(watch("a", "b"), labels, [alarm("b", 8 * DAY + 5 * MINUTE, end)])
    assert only(score) == (True, 5.0, 300.0, pytest.approx(55 / 60))


def test_alarms_on_ordinary_operation_are_false_and_those_on_holidays_do_not_count() -> None:
    labels = [
        label("a", 8 * DAY, 8 * DAY + HOUR, kind="duplicates", expected=Expected.SILENCE),
        FaultLabel("*", "*", "public holiday", 9 * DAY, 10 * DAY, Severity.MINOR, "h", expected=Expected.EITHER),
    ]
    score = score_alarms(watch("a"), labels, [alarm("a", 8 * DAY, 8 * DAY + 1), alarm("a", 9 * DAY, 9 * DAY + 1)])
    assert score.faults == ()
    assert [outcome.verdict for outcome in score.alarms] == [Verdict.FALSE, Verdict.EXCUSED]


def test_figures_add_up_over_runs_and_faults_that_cannot_be_seen_count_in_no_share() -> None:
    first = score_alarms(watch("a"), [label("a", 8 * DAY, 8 * DAY + HOUR)], [alarm("a", 8 * DAY, 8 * DAY + HOUR)])
    second = score_alarms(
        watch("b"),
        [
            label("b", 8 * DAY, 8 * DAY + HOUR, occurrence=1),
            label("b", 9 * DAY, 9 * DAY + HOUR, kind="replay", unseen="its own readings"),
        ],
        [alarm("b", 2 * DAY, 2 * DAY + HOUR), alarm("b", 12 * DAY, 12 * DAY + HOUR)],
    )
    total = overall(first + second)
    assert (total.faults, total.unseen) == (3, 1)
    assert (total.found.value, total.first.value, total.again.value) == (0.5, 1.0, 0.0)
    assert (total.precision.value, total.f1) == (0.5, 0.5)
    assert (total.false_rate.value, total.false_rate_learning.value) == (0.5, 0.5)
    assert total.open_share.value == 0.5
    assert unseen_reasons(first + second) == [("replay", "its own readings", 1)]
    assert list(by_kind(first + second)) == ["replay", "stuck"]


def test_the_tables_name_what_was_asked_for() -> None:
    score = score_alarms(watch("a"), [label("a", 8 * DAY, 8 * DAY + HOUR)], [alarm("a", 8 * DAY, 8 * DAY + HOUR)])
    head, kinds, *_ = cards(score)
    assert ["found (recall)", "1.00 [0.21, 1.00]", "0.85"] in head.rows
    assert kinds.rows == [["stuck", 1, "1.00 [0.21, 1.00]", "1.00", "-", "0", "0", "1.00", "1.00"]]


def test_intervals_are_those_of_the_literature() -> None:
    # Wilson for 9 of 10, Garwood for 3 events, both as tabulated.
    assert share(9, 10).text(3) == "0.900 [0.596, 0.982]"
    assert rate(3, 1.0).text(3) == "3.000 [0.619, 8.767]"
    assert rate(0, 2.0).text(2) == "0.00 [0.00, 1.84]"
    assert median([5.0, 1.0, math.nan, 3.0]).value == 3.0
    assert mean([1.0, 3.0, math.nan]).cases == 2
    assert mean([0.0, 0.0, 1.0], highest=1.0).text() == "0.33 [0.00, 0.99]"
    assert math.isnan(share(0, 0).value)


def test_details_name_every_fault_and_every_alarm(tmp_path: Path) -> None:
    fault = label("a", 8 * DAY, 8 * DAY + 2 * HOUR)
    score = score_alarms(watch("a"), [fault], [alarm("a", 8 * DAY + 30 * MINUTE, 8 * DAY + 3 * HOUR)])
    write_details(score, tmp_path)
    faults = (tmp_path / "faults.csv").read_text().splitlines()
    assert faults[1] == (
        "plant,stuck,a,value,1970-01-09T00:00:00.000Z,1970-01-09T02:00:00.000Z,0,,True,default,1800,30,0.75,1,,"
    )
    alarms = (tmp_path / "alarms.csv").read_text().splitlines()
    assert alarms[1] == "plant,a,value,1970-01-09T00:30:00.000Z,1970-01-09T03:00:00.000Z,default,true,False"


def test_each_missed_fault_is_told_why() -> None:
    hours = [(8 * DAY + n * DAY, 8 * DAY + n * DAY + HOUR) for n in range(4)]
    faults = [label("a", *hours[0]), label("a", *hours[1]), label("a", *hours[2]), label("gps", *hours[3])]
    open_since = alarm("a", 8 * DAY - HOUR, 8 * DAY + 2 * HOUR)
    both = watch("a", "gps")
    times = both.times["a", "value"]
    scores = np.full(len(times), 0.5, np.float32)
    odd = np.zeros(len(times), np.bool_)
    scores[times == hours[1][0]], odd[times == hours[1][0]] = 6.5, True
    scores[times == hours[2][0]] = 2.25
    scored = {
        ("a", "value"): ScoredSeries(times, scores, odd),
        ("gps", "value"): ScoredSeries(times, np.full(len(times), np.nan, np.float32), np.zeros(len(times), np.bool_)),
    }
    score = with_causes(score_alarms(both, faults, [open_since]), [open_since], scored)
    assert [(fault.missed, fault.peak) for fault in score.faults[:3]] == [
        ("an alarm was open before it began", 0.5),
        ("readings were odd, yet no alarm opened", 6.5),
        ("no reading was odd enough", 2.25),
    ]
    assert score.faults[3].missed == "its metric is never scored"
    assert math.isnan(score.faults[3].peak)
    (kind,) = missed_reasons(score)
    assert (kind.kind, kind.missed, kind.faults, sum(kind.why.values()), kind.peak) == ("stuck", 4, 4, 4, 2.25)


def test_a_fault_that_was_found_or_that_none_could_see_has_no_cause() -> None:
    found, unseen = label("a", 8 * DAY, 9 * DAY), label("b", 8 * DAY, 9 * DAY, unseen="it stood still anyway")
    alarms = [alarm("a", 8 * DAY, 9 * DAY)]
    score = with_causes(score_alarms(watch("a", "b"), [found, unseen], alarms), alarms, {})
    assert [fault.missed for fault in score.faults] == ["", ""]
    assert missed_reasons(score) == []


def test_the_command_scores_the_alarms_of_any_product(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)  # it is read in a pipe, which has no width
    write_labels(
        tmp_path / "truth.csv",
        [label("a", 8 * DAY, 8 * DAY + HOUR), label("b", 9 * DAY, 9 * DAY + HOUR, kind="spike", unseen="too small")],
    )
    alarms = "device,metric,from,to\na,value,1970-01-09T00:10:00Z,1970-01-09T01:00:00Z\nb,*,1970-01-11T00:00:00Z,\n"
    (tmp_path / "alarms.csv").write_text(alarms)
    out = tmp_path / "card.json"
    given = ["score", "--alarms", str(tmp_path / "alarms.csv"), "--truth", str(tmp_path / "truth.csv")]
    assert main([*given, "--out", str(out), "--details", str(tmp_path / "details")]) == 0
    shown = capsys.readouterr().out
    assert "2, of which 1 cannot be seen" in shown
    assert re.search(r"precision\s+0\.50 \[0\.09, 0\.91\]\s+0\.90", shown)
    assert "too small" in shown
    card = json.loads(out.read_text())
    assert (card["alarms"], card["truth"], card["overall"]["found"]["value"]) == ("alarms.csv", "truth.csv", 1.0)
    assert card["kinds"]["stuck"]["delay_seconds"]["value"] == 600.0
    assert len((tmp_path / "details" / "alarms.csv").read_text().splitlines()) == 3
    assert main(given[:3]) == 2
    assert "--alarms: expected --truth too" in capsys.readouterr().err


def test_the_command_counts_the_plants_and_says_on_which_seeds_constants_were_chosen(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "driftline.toml"
    config.write_text('[[routes]]\nfilter = "#"\ndetectors = ["cheap"]\n[detectors.cheap]\ntype = "zscore"\n')
    given = ["score", "--short", "--world", "office-building", "--seeds", "reporting", "--config", str(config)]
    assert main([*given, "--workers", "1", "--out", str(tmp_path / "card.json")]) == 0
    shown = capfd.readouterr()
    first, last = shown.err.splitlines()[0], shown.err.splitlines()[-1]
    assert first == (
        "Scoring the detectors on 1 simulated plant of 21 days, 1 at a time: less than a minute. "
        "Your own data are not touched; Ctrl-C stops it."
    )
    assert last == "1 of 1 plant"
    title = "Score card: reporting seeds 101, 21 days each; constants were chosen on others: 1, 2, 3, 4"
    assert title in shown.out
    card = json.loads((tmp_path / "card.json").read_text())
    assert (card["seeds"], card["tuning_seeds"], list(card["worlds"])) == ([101], [1, 2, 3, 4], ["office-building"])
