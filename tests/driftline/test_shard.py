"""Shards of the engine: together they make of the messages what one machine makes of all, bit for bit."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from journal_cuts import SECOND, START
from shard_runs import PLANT, STEADY, TOPICS, by_one_machine, encoded, logs, names_of, tables

from devices.messages import FLAG_DUPLICATE, FLAG_REDELIVERED, FLAG_RETAIN
from driftline.cluster.shard import Record, Shard, shard_settings, step_shard
from driftline.config import Config
from storage.store import StepOutput


def by_shards(config: Config, parts: Sequence[Sequence[Record]], cuts: Sequence[Sequence[int]]) -> list[StepOutput]:
    """Each shard in batches, its state written and read between them."""
    chosen = json.loads(json.dumps(shard_settings(config)))
    outputs = []
    for part, places in zip(parts, cuts, strict=True):
        state = None
        for start, end in pairwise([0, *sorted({place for place in places if place < len(part)}), len(part)]):
            output, state = step_shard(chosen, part[start:end], state)
            outputs.append(output)
    return outputs


def assert_shards_change_nothing(
    config: Config, records: Sequence[Record], shards: int, cuts: Sequence[int], *, ticks: bool = True
) -> dict[str, object]:
    expected = tables([by_one_machine(config, records)])
    parts = logs(records, shards, ticks=ticks)
    assert tables(by_shards(config, parts, [cuts] * shards)) == expected
    return expected


messages = st.lists(
    st.tuples(
        st.sampled_from(TOPICS),
        st.integers(0, 8),
        st.lists(st.integers(0, 100), min_size=1, max_size=4),
        st.sampled_from((0, 0, 0, FLAG_RETAIN, 1 | FLAG_DUPLICATE | FLAG_REDELIVERED)),
        st.sampled_from((1, SECOND // 7, SECOND, 2 * SECOND, 5 * SECOND, 24 * SECOND, 27 * SECOND)),
    ),
    min_size=1,
    max_size=60,
)


@settings(max_examples=15, deadline=None)
@given(messages, st.integers(1, 4), st.lists(st.integers(1, 200), max_size=5))
def test_shards_make_what_one_machine_makes(
    drawn: list[tuple[str, int, list[int], int, int]], shards: int, cuts: list[int]
) -> None:
    assert_shards_change_nothing(PLANT, encoded([*STEADY, *drawn]), shards, cuts)


def test_a_reading_that_waits_is_released_when_its_window_is_over_whoever_sends_meanwhile() -> None:
    """Ten seconds after its window the pump sends an older reading: it is late, with and without the press."""
    pump = [("slow/pump", 0, [20], 0, SECOND), ("slow/pump", 25, [21], 0, 20 * SECOND)]
    among = [pump[0], ("rest/press", 0, [20], 0, 5 * SECOND), ("slow/pump", 25, [21], 0, 15 * SECOND)]
    for drawn in (pump, among):
        output = by_one_machine(PLANT, encoded(drawn))
        names = names_of(output)
        readings = zip(output.points.series.tolist(), output.points.late.tolist(), strict=True)
        assert [late for series, late in readings if names[series] == "slow/pump m0"] == [False, True]


def test_a_silence_begins_with_the_second_by_which_it_has_lasted_whoever_sends_meanwhile() -> None:
    """The fan stops; the mill goes on once in eight seconds, or in twenty."""
    opened = []
    for every in (8, 20):
        drawn = [*STEADY, *[("rest/mill", 0, [20, 21, 22], 0, every * SECOND)] * (240 // every)]
        output = by_one_machine(PLANT, encoded(drawn))
        names = names_of(output)
        opened.append({names[a.series]: a.opened for a in output.alarms if names[a.series] == "slow/fan device:silent"})
    assert opened[0] == opened[1] == {"slow/fan device:silent": START + 52 * SECOND}


def test_with_the_detectors_that_are_set_where_nothing_is() -> None:
    """Six devices of three metrics at their daily course, one with a step; three shards, each in four batches."""
    records = []
    for n in range(400):
        for number in range(6):
            arrival = START + n * 20 * SECOND + number
            swing = math.sin(n / 129 * math.tau + number) + 0.1 * math.sin(n * n + number)
            odd = 9.0 if number == 2 and 330 <= n < 370 else 0.0
            body = {"temperature": round(20 + swing + odd, 3), "power": round(900 + 80 * swing, 1), "level": n % 7}
            records.append(Record(b"site/d%d" % number, json.dumps(body).encode(), arrival, 1))
    expected = assert_shards_change_nothing(Config(), records, 3, [150, 151, 500], ticks=False)
    assert isinstance(expected["alarms"], dict)
    assert {name.split()[0] for name in expected["alarms"]} == {"site/d2"}


def test_an_output_says_the_names_of_its_own_series_alone_and_numbers_them_from_zero() -> None:
    shard = Shard(shard_settings(PLANT))
    shard.step(encoded([("rest/press", 0, [1, 2], 0, SECOND)]))
    output = shard.step(encoded([("rest/mill", 0, [3], 0, 2 * SECOND)]))
    assert [(each.series, each.device, each.metric) for each in output.series] == [(0, "rest/mill", "m0")]
    assert output.points.series.tolist() == [0]
    nothing = shard.step([])
    assert (len(nothing.points), nothing.counts, nothing.position) == (0, {}, 2)


def test_arrivals_of_receivers_whose_clocks_differ_a_little_stay_in_the_order_of_the_log() -> None:
    shard = Shard(shard_settings(Config()))
    at = [START, START - 2 * SECOND, START + 1, START - 70 * SECOND]
    output = shard.step([Record(b"hall/pump", b"%d" % value, arrived) for value, arrived in enumerate(at)])
    assert output.points.value.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert output.points.time.tolist() == [START, START + 1, START + 2, START - 70 * SECOND]


def test_a_damaged_state_is_refused() -> None:
    chosen = shard_settings(PLANT)
    _, state = step_shard(chosen, encoded([("rest/press", 0, [1, 2], 0, SECOND)]), None)
    with pytest.raises(ValueError, match=r"the state of a shard, [0-9,]+ bytes, is damaged"):
        step_shard(chosen, [], state[:-1] + bytes([state[-1] ^ 1]))
    with pytest.raises(ValueError, match="settings of a shard"):
        step_shard({"routes": 1}, [], None)
