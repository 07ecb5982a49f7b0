"""Which new series detectors take up: an allowance an hour, those that go on, and never more than may be scored."""

from __future__ import annotations

import numpy as np

from alerts.alarm_settings import AlarmSettings
from devices.messages import MessageChunk
from ingest.admission import Admission
from ingest.ingest_settings import ComponentSettings, LimitSettings, RouteSettings
from ingest.pipeline import Engine
from ingest.series_table import UNKNOWN, SeriesTable
from storage.store import JournalEntry, StepOutput

SECOND = 10**9
START = 1_800_000_000 * SECOND
DETECTORS = {"default": ComponentSettings(type="zscore", warmup=20)}


def engine(**limits: int) -> Engine:
    return Engine((RouteSettings(filter="#"),), DETECTORS, AlarmSettings(), LimitSettings(**limits))


def send(made: Engine, names: list[int], at: int, group: int = 1_000) -> list[StepOutput]:
    messages = [(b"d%d" % name, b"%d" % (i % 7), START + at * SECOND + i, 1) for i, name in enumerate(names)]
    outputs = []
    for first in range(0, len(messages), group):
        chunk = MessageChunk.of(messages[first : first + group])
        outputs.append(made.step(JournalEntry(made.position, 0, chunk)))
    return outputs


def learning(made: Engine) -> int:
    """Series that detectors have taken up."""
    return int(np.count_nonzero(made.learning()[1]))


def test_invented_names_are_stored_and_cost_no_detector() -> None:
    made = engine(max_new_series_an_hour=10)
    outputs = send(made, list(range(500)), 0)
    assert sum(len(output.points) for output in outputs) == 500
    assert (learning(made), made.admission.waiting) == (10, 490)
    send(made, list(range(500, 600)), 3_600)
    assert (learning(made), made.admission.waiting) == (20, 580)


def test_a_series_that_goes_on_is_taken_up_at_its_twentieth_reading_however_the_journal_was_cut() -> None:
    names = [name for round in range(40) for name in range(20)]
    seen = []
    for group in (1, 7, 1_000):
        made = engine(max_new_series_an_hour=10)
        outputs = send(made, names, 0, group)
        assert (learning(made), made.admission.waiting) == (20, 0)
        score = np.concatenate([output.points.score for output in outputs])
        seen.append(np.nan_to_num(score, nan=-1.0).tolist())
    assert seen[0] == seen[1] == seen[2]
    assert np.count_nonzero(np.array(seen[0]).reshape(40, 20)[:, 0] >= 0) == 20, "scored from its 21st reading on"
    assert np.count_nonzero(np.array(seen[0]).reshape(40, 20)[:, 19] >= 0) < 20


def test_no_more_are_scored_than_may_be_and_beyond_the_most_all_is_refused() -> None:
    made = engine(max_scored_series=5, max_series=30)
    outputs = send(made, [name for _ in range(30) for name in range(40)], 0)
    assert (learning(made), made.admission.waiting, made.admission.full) == (5, 25, True)
    assert sum(len(output.points) for output in outputs) == 30 * 30
    assert sum(output.counts.get("rejected.too_many_series", 0) for output in outputs) == 10 * 30


def test_a_restored_engine_takes_up_the_same_series() -> None:
    whole, first = engine(max_new_series_an_hour=10), engine(max_new_series_an_hour=10)
    names = [name for _ in range(15) for name in range(20)]
    for made in (whole, first):
        send(made, names, 0)
    second = Engine(
        (RouteSettings(filter="#"),),
        DETECTORS,
        AlarmSettings(),
        LimitSettings(max_new_series_an_hour=10),
        first.registry.records,
    )
    second.load(first.position, *first.state())
    for made in (whole, second):
        send(made, names, 100)
    assert learning(whole) == learning(second) == 20
    left, right = whole.state()[0], second.state()[0]
    assert all(np.array_equal(left["admission"][name], right["admission"][name]) for name in left["admission"])


def test_the_table_of_pairs_holds_what_was_met_and_nothing_else() -> None:
    random, table, model = np.random.default_rng(1), SeriesTable(), {}
    pairs = random.integers(0, 3_000, (5_000, 2)).tolist()
    for number, (topic, metric) in enumerate(pairs):
        if (topic, metric) not in model:
            model[topic, metric] = number
            table.put(topic, metric, number)
    asked = np.array(pairs + random.integers(3_000, 9_000, (500, 2)).tolist(), np.int32)
    found, unknown, has_device = table.find(asked[:, 0], asked[:, 1], np.full(len(asked), -1, np.int32))
    assert found.tolist() == [model.get((t, m), UNKNOWN) for t, m in asked.tolist()]
    assert (unknown, has_device, len(table)) == (500, False, len(model))
    assert table._keys.nbytes + table._values.nbytes < 64 * len(model), "sparse: topics times metrics are 9 million"


HOUR = 3_600 * SECOND


def waiting_of(made: Admission, *series: int) -> list[bool]:
    return made.are_waiting(np.array(series, np.int32)).tolist()


def test_an_hour_s_allowance_is_of_the_clock_s_hours_and_what_waits_is_taken_up_at_its_twentieth_reading() -> None:
    made = Admission(LimitSettings(max_new_series_an_hour=2, max_scored_series=9))
    assert [made.admits(series, 5 * HOUR + 1) for series in (0, 1, 2, 2, 0)] == [True, True, False, False, True]
    assert (made.waiting, waiting_of(made, -1, 0, 2, 7)) == (1, [False, False, True, False])
    assert [made.admits(3, 6 * HOUR - 1), made.admits(4, 6 * HOUR)] == [False, True]
    assert [made.hears(2, 100 + number) for number in range(20)] == [False] * 19 + [True]
    assert (made.waiting, waiting_of(made, 2, 3), made.is_admitted(2)) == (1, [False, True], True)
    assert [made.hears(series, 500) for series in (2, 0, 99)] == [False] * 3
    came = made.taken_up(np.array([2, 2, 0], np.int32), np.array([118, 119, 0]))
    assert came is not None
    assert came.tolist() == [False, True, True]
    assert made.taken_up(np.array([2], np.int32), np.array([119])) is None
    assert made.taken_up(np.empty(0, np.int32), np.empty(0, np.int64)) is None


def test_behind_the_most_that_may_be_scored_none_is_taken_up_until_one_has_gone() -> None:
    made = Admission(LimitSettings(max_new_series_an_hour=9, max_scored_series=2))
    assert [made.admits(series, 0) for series in (0, 5, 2)] == [True, True, False]
    assert (made.full, made.is_admitted(5), made.is_admitted(2), made.is_admitted(99)) == (True, True, False, False)
    assert [made.hears(2, number) for number in range(25)] == [False] * 25
    made.let_go([5, 99])
    assert (made.full, made.is_admitted(5)) == (False, False)
    assert made.hears(2, 30)
    made.let_go([2])
    made.admits(7, 0)
    made.admits(8, 0)
    made.let_go([8])
    assert (made.waiting, made.full) == (0, True)


def test_what_an_earlier_version_scored_is_admitted_and_a_saved_state_goes_on() -> None:
    limits = LimitSettings(max_new_series_an_hour=1, max_scored_series=4)
    made = Admission(limits)
    made.admit_all([])
    assert [made.admits(0, HOUR), made.admits(1, HOUR)] == [True, False]
    made.admit_all([4, 1, 0])
    assert (made.waiting, [made.is_admitted(series) for series in range(5)]) == (0, [True, True, False, False, True])
    assert not made.admits(6, HOUR)
    again = Admission(limits)
    again.load(made.state())
    for each in (made, again):
        assert (each.waiting, each.full, each.is_admitted(4)) == (1, False, True)
        assert not each.admits(7, HOUR + 5), "the hour's one was taken before"
        assert [each.admits(8, 2 * HOUR), each.full] == [True, True]
