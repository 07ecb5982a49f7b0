"""The host's clock against one that nobody sets: what is believed, what is said, and what time old data leave by."""

from __future__ import annotations

from driftline.runtime.clock_watch import ClockWatch

SECOND = 10**9
DAY = 86_400 * SECOND
NOW = 1_800_000_000 * SECOND


class Host:
    """A machine whose clock can be set."""

    def __init__(self) -> None:
        self.wall, self.ticks = NOW, 1_000 * SECOND

    def pass_time(self, ns: int) -> None:
        self.wall += ns
        self.ticks += ns

    def watch(self, **known: object) -> ClockWatch:
        return ClockWatch(lambda: self.wall, lambda: self.ticks, **known)  # type: ignore[arg-type]


def test_a_clock_that_jumps_is_said_until_it_is_back_and_removes_nothing() -> None:
    host = Host()
    watch = host.watch()
    host.pass_time(600 * SECOND)
    watch.look()
    assert watch.problem == ""
    assert watch.trusted() == host.wall
    host.wall += 40 * DAY
    watch.look()
    assert watch.problem.startswith("the host's clock shows 2027-02-24T08:10:00Z, 40d ahead of what it should")
    assert "`driftline confirm clock`" in watch.problem
    assert watch.trusted() == NOW + 600 * SECOND
    host.wall -= 40 * DAY
    watch.look()
    assert watch.problem == ""
    assert watch.trusted() == NOW + 600 * SECOND


def test_a_clock_that_goes_back_takes_the_time_of_removal_with_it() -> None:
    host = Host()
    watch = host.watch()
    host.wall -= 2 * DAY
    watch.look()
    assert "2d behind what it should" in watch.problem
    assert watch.trusted() == NOW - 2 * DAY


def test_a_new_time_is_believed_once_confirmed_or_after_a_day() -> None:
    for confirmed in (True, False):
        host = Host()
        watch = host.watch()
        host.wall += 3 * DAY
        watch.look()
        if confirmed:
            watch.confirm()
        else:
            host.pass_time(DAY + SECOND)
            watch.look()
        assert watch.problem == ""
        assert watch.trusted() == host.wall


def test_a_restart_while_the_clock_is_wrong_does_not_make_it_right() -> None:
    host = Host()
    watch = host.watch(boot="a")
    host.wall += 40 * DAY
    watch.look()
    again = host.watch(boot="a", saved=watch.state(), last_arrival=host.wall)
    assert "40d ahead" in again.problem
    assert again.trusted() == NOW
    elsewhere = host.watch(boot="b", saved=watch.state(), last_arrival=host.wall)
    assert elsewhere.problem == ""


def test_a_start_with_a_clock_behind_the_last_message_is_said() -> None:
    host = Host()
    watch = host.watch(last_arrival=NOW + 40 * DAY)
    assert "40d behind what it should" in watch.problem
    assert watch.trusted() == NOW


def test_after_a_long_absence_nothing_old_leaves_for_a_day() -> None:
    host = Host()
    watch = host.watch(last_arrival=NOW - 41 * DAY)
    assert watch.problem == ""
    assert watch.trusted() == NOW - 41 * DAY
    host.pass_time(DAY + SECOND)
    watch.look()
    assert watch.trusted() == host.wall
