"""Who is heard from: no living device is shown silent while it behaves as it always did."""

from __future__ import annotations

import numpy as np

from ingest.liveness import Liveness

SECOND = 10**9
HOUR = 3600 * SECOND
START = 1_750_000_000 * SECOND


def times_shown_silent(arrivals: list[int]) -> int:
    """How often a device with these arrivals is shown silent before it sends again."""
    liveness = Liveness()
    liveness.grow(1)
    shown = 0
    for arrival in arrivals:
        shown += int(liveness.silent(arrival)[0])
        liveness.observe(np.zeros(1, np.int32), np.array([arrival]), np.array([arrival]))
    return shown


def heard(arrivals: list[int]) -> Liveness:
    liveness = Liveness()
    liveness.grow(1)
    for arrival in arrivals:
        liveness.observe(np.zeros(1, np.int32), np.array([arrival]), np.array([arrival]))
    return liveness


def test_a_device_of_five_topics_once_an_hour_is_not_silent_between_its_rounds() -> None:
    arrivals = [START + h * HOUR + t * SECOND for h in range(480) for t in range(5)]
    assert times_shown_silent(arrivals) == 0
    liveness = heard(arrivals)
    assert not liveness.on_change()[0]
    assert liveness.silent(arrivals[-1] + 6 * HOUR)[0]


def test_a_door_that_is_opened_by_day_is_not_silent_at_night() -> None:
    random = np.random.default_rng(3)
    arrivals = [
        START + day * 24 * HOUR + int(hour * HOUR)
        for day in range(30)
        for hour in np.sort(random.uniform(7, 22, random.integers(4, 12)))
    ]
    assert times_shown_silent(arrivals) == 0
    liveness = heard(arrivals)
    assert liveness.on_change()[0]
    assert liveness.silent(arrivals[-1] + 7 * 24 * HOUR)[0]


def test_a_device_that_has_sent_once_is_new_and_not_silent() -> None:
    liveness = heard([START])
    assert liveness.new()[0]
    assert not liveness.silent(START + 24 * HOUR)[0]
    assert liveness.silent(START + 4 * 24 * HOUR)[0]


def test_a_burst_that_ends_is_quiet_soon_and_silent_once_it_is_sure() -> None:
    liveness = heard([START + tenth * SECOND // 10 for tenth in range(10)])
    last = START + SECOND
    assert not liveness.quiet(last + 29 * SECOND)[0]
    assert liveness.quiet(last + 31 * SECOND)[0]
    assert not liveness.silent(last + 24 * HOUR)[0]
    again = heard([START, START + HOUR, START + 2 * HOUR])
    assert not again.quiet(START + 6 * HOUR)[0], "it has taken an hour before"
    assert again.quiet(START + 8 * HOUR)[0]


def test_a_steady_device_is_silent_soon_after_it_stops() -> None:
    arrivals = [START + s * SECOND for s in range(100)]
    liveness = heard(arrivals)
    assert not liveness.silent(arrivals[-1] + 29 * SECOND)[0]
    assert liveness.silent(arrivals[-1] + 31 * SECOND)[0]


def test_an_outage_does_not_make_a_steady_device_be_waited_for_much_longer() -> None:
    arrivals = [START + m * 60 * SECOND for m in range(100)]
    after = [arrivals[-1] + 24 * HOUR + m * 60 * SECOND for m in range(100)]
    liveness = heard(arrivals + after)
    assert liveness.silent(after[-1] + HOUR)[0]


def test_the_state_comes_back_whole() -> None:
    liveness = heard([START + s * SECOND for s in range(20)])
    other = Liveness()
    other.load(liveness.state())
    assert {k: v.tolist() for k, v in other.state().items()} == {k: v.tolist() for k, v in liveness.state().items()}
