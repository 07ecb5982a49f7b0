"""Records: the type is as wide as its columns, views and records are one memory, growth and saving keep all."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
from pydantic import BaseModel, ConfigDict

from detectors.detector import Scores
from detectors.fleet_detector import Column, empty_scores, take_inputs
from detectors.record_detector import RecordDetector, new_records, record_type

COLUMNS = {
    "low.flag": Column(np.bool_),
    "low.level": Column(np.float64),
    "low.cells": Column(np.float32, (3,)),
    "many.number": Column(np.int32, (2,), -1),
    "plain": Column(np.int64),
}


class Parameters(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Kept(RecordDetector):
    name: ClassVar[str] = "kept"
    Parameters: ClassVar[type[BaseModel]] = Parameters
    record_parts: ClassVar[dict[str, int]] = {"low": 0, "many": 1, "absent": 0}

    def layout(self) -> dict[str, Column]:
        return COLUMNS

    def step(self, slot: np.ndarray, time: np.ndarray, value: np.ndarray, learn: np.ndarray) -> Scores:
        inputs = take_inputs(self.size, slot, time, value, learn)
        return empty_scores(len(inputs.slot))

    def warming(self) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros(self.size, np.int64), np.zeros(self.size, np.int64)


def grown(size: int) -> Kept:
    detector = Kept(Parameters())
    detector.grow(size)
    return detector


def test_wide_fields_come_first_so_that_nothing_is_lost_between_them() -> None:
    kind = record_type({"flag": Column(np.bool_), "level": Column(np.float64), "cells": Column(np.float32, (4,))})
    assert kind.names == ("level", "cells", "flag")
    assert kind.itemsize == 32


def test_a_dotted_name_is_a_field_within_a_field() -> None:
    records = new_records({"a.b.c": Column(np.float64, fill=2.5), "d": Column(np.int64)}, 2)
    assert records[1].a.b.c == 2.5
    records[1].a.b.c = 4.0
    assert records["a"]["b"]["c"].tolist() == [2.5, 4.0]


def test_a_column_is_a_view_into_the_records() -> None:
    detector = grown(3)
    detector.records["low"][1].cells[2] = 7.0
    assert detector.arrays["low.cells"][1].tolist() == [0.0, 0.0, 7.0]
    detector.records["many"][2, 1].number = 5
    assert detector.arrays["many.number"][: detector.size].tolist() == [[-1, -1], [-1, -1], [-1, 5]]


def test_growth_keeps_what_is_there_and_fills_what_is_new() -> None:
    detector = grown(2)
    detector.arrays["low.level"][1] = 3.0
    detector.arrays["plain"][1] = 4
    detector.arrays["many.number"][1] = 9
    detector.grow(200)
    assert detector.records["low"][1].level == 3.0
    assert detector.arrays["plain"][1] == 4
    assert detector.records["many"]["number"][:3].tolist() == [[-1, -1], [9, 9], [-1, -1]]
    assert detector.records["many"][199].number.tolist() == [-1, -1]


def test_a_saved_state_comes_back_into_the_records() -> None:
    detector, other = grown(2), grown(1)
    detector.records["low"][1].level = 6.0
    detector.arrays["plain"][:2] = (1, 2)
    other.load(detector.state())
    assert other.size == 2
    assert other.records["low"][1].level == 6.0
    assert other.arrays["plain"].tolist() == [1, 2]
    other.grow(3)
    assert other.records["many"][2].number.tolist() == [-1, -1]


def test_a_state_of_another_layout_is_refused_by_name() -> None:
    state = {**grown(1).state(), "low.level": np.zeros((1, 2))}
    with pytest.raises(ValueError, match=r"kept state: low\.level: expected float64 \(size, \), got float64 \(1, 2\)"):
        grown(1).load(state)


def test_bytes_are_those_of_the_records_and_of_the_other_arrays() -> None:
    assert grown(1).bytes_per_slot == 24 + 2 * 4 + 8
