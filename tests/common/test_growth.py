"""Arrays that grow: nothing of what they held is lost, and what is new holds the value asked for."""

import numpy as np

from common.growth import LEAST_ROOM, grown


def test_an_array_with_room_is_left_as_it_is() -> None:
    array = np.arange(5)
    assert grown(array, 5, -1) is array


def test_a_longer_array_keeps_what_it_held_and_fills_the_rest() -> None:
    array = np.arange(40, dtype=np.int32).reshape(20, 2)
    longer = grown(array, 21, -1)
    assert longer.dtype == np.int32
    assert longer.shape == (40, 2)
    assert (longer[:20] == array).all()
    assert (longer[20:] == -1).all()


def test_the_first_growth_leaves_room_and_zero_and_nan_are_values() -> None:
    assert len(grown(np.empty(0), 1, 0.0)) == LEAST_ROOM
    assert np.isnan(grown(np.empty(0), 1, np.nan)).all()
    assert grown(np.ones(0, np.bool_), 100, True).all()
