"""A guard on labelled series of real operations: what the default finds at its budget, and what it costs."""

from __future__ import annotations

import csv
import gzip

import numpy as np
from corpora_folders import corpus

from alerts.alarm_settings import AlarmSettings
from alerts.policy import AlarmPolicy
from detectors.ensemble import Ensemble, EnsembleParameters

SERIES = ("104", "113", "149", "154", "190", "209", "5", "83")
APART = 60
"""Rows without an alarm between two false ones; so many after an event count neither way."""


def test_most_events_of_eight_services_are_found_within_the_budget() -> None:
    folder = corpus("wsd-dev")
    with (folder / "index.csv").open(newline="") as file:
        starts = {row["series"]: int(row["scored_from"]) for row in csv.DictReader(file)}
    events, found, false, weeks = 0, 0, 0, 0.0
    for name in SERIES:
        with gzip.open(folder / f"{name}.csv.gz", "rt", newline="") as file:
            rows = list(csv.DictReader(file))
        time = np.array([row["timestamp"] for row in rows], "datetime64[ns]").astype(np.int64)
        value = np.array([float(row["value"] or "nan") for row in rows])
        label = np.array([row["label"] == "1" for row in rows])
        detector, policy = Ensemble(EnsembleParameters()), AlarmPolicy(AlarmSettings())
        detector.grow(1)
        policy.grow(1)
        slot = np.zeros(len(rows), np.int32)
        score = detector.step(slot, time, value, np.ones(len(rows), np.bool_)).score
        first = starts[name]
        alarmed = policy.step(slot, time, score).anomaly[first:]
        label = label[first:]
        edges = np.flatnonzero(np.diff(label.astype(int), prepend=0, append=0))
        near = label.copy()
        for start, end in edges.reshape(-1, 2):
            events += 1
            found += bool(alarmed[start : end + 5].any())
            near[start : end + APART] = True
        places = np.flatnonzero(alarmed & ~near)
        false += int((np.diff(places, prepend=-2 * APART) > APART).sum())
        weeks += len(label) / (7 * 1440)
    assert found >= 0.7 * events
    assert false <= 1.2 * weeks
