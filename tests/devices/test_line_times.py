"""Lines that come over HTTP: which can be read, with their times in nanoseconds, and what is wrong with the others."""

from __future__ import annotations

from devices.codecs.influx_line import checked_lines


def test_lines_that_can_be_read_have_their_times_in_nanoseconds_and_the_others_are_named_by_number() -> None:
    text = "# a note\n\n cpu,host=a load=1 1714564800\ncpu load\ncpu load=1i\n\0\ncpu load=x 5\ncpu on=true,b=2u 7\n"
    good, wrong = checked_lines(text, 1_000_000_000)
    assert good == [
        "cpu,host=a load=1 1714564800000000000",
        "cpu load=1i",
        "cpu on=true,b=2u 7000000000",
    ]
    assert [each.partition(": ")[0] for each in wrong] == ["line 4", "line 7"]
    assert wrong[1].endswith('is no 1.5, 15i, 15u, true, false or "text"')
    assert checked_lines("", 1) == checked_lines("#\n  \n", 1) == ([], [])
    assert checked_lines("m v=1 7", 1) == (["m v=1 7"], [])
