"""What a backtest makes of a recording, written as CSV: the same rows in the same order."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from tuning.recordings import RecordingError
from tuning.track import Track

ONE_CHANNEL = ("timestamp", "value", "anomaly_score", "anomaly", "expected", "lower", "upper", "reason", "novelty")
SEVERAL_CHANNELS = ("timestamp", "anomaly_score", "anomaly", "reason")
"""Columns before the `score_<channel>` columns."""
ALARMS = ("alarm", "metric", "opened", "cleared", "severity", "peak_score", "value", "reason")
"""Columns of the list of alarms; times in ISO 8601, `cleared` empty where the alarm is open at the end."""


def write_track(track: Track, path: Path) -> None:
    """Write one row for each row of the recording. Makes the folders above. Raises OSError.

    `anomaly_score` is a finite number in every row, 0 where there is no score; `score_<channel>`, `expected` and the
    band are empty there. Times are written as they were read. Beside it, under the same name with the ending
    `.alarms.csv`, go the alarms with their reasons.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        if len(track.channels) == 1:
            writer.writerow(ONE_CHANNEL)
            writer.writerows(_one_channel(track))
        else:
            writer.writerow([*SEVERAL_CHANNELS, *(f"score_{channel}" for channel in track.channels)])
            writer.writerows(_several_channels(track))
    with path.with_suffix(".alarms.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(ALARMS)
        writer.writerows(_alarms(track))


def output_paths(inputs: Sequence[Path], folder: Path) -> list[Path]:
    """Where the result of each input goes: its name within `folder`; as much of its path as tells namesakes apart.

    Raises RecordingError where a result would overwrite an input, or an input is given twice.
    """
    resolved = [path.resolve() for path in inputs]
    if twice := next((path for path in inputs if resolved.count(path.resolve()) > 1), None):
        raise RecordingError(f"{twice}: given twice; expected each file once")
    names = [Path(_stem(path) + ".csv") for path in resolved]
    depth = 1
    while len(set(names)) < len(names):
        depth += 1
        names = [Path(*path.parts[-depth:-1], _stem(path) + ".csv") for path in resolved]
        if depth > max(len(path.parts) for path in resolved):
            raise RecordingError(f"{inputs[0]} and others differ in their endings alone; expected distinct names")
    outputs = [folder / name for name in names]
    for output in outputs:
        if output.resolve() in resolved:
            raise RecordingError(f"{output}: would be overwritten by its result; choose another folder")
    return outputs


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").rsplit(".", 1)[0]


def _one_channel(track: Track) -> Iterable[list[object]]:
    score = track.anomaly_score
    for row in range(len(track)):
        yield [
            track.time_written[row],
            _number(track.value[row, 0]),
            _number(score[row]),
            int(track.device_anomaly[row]),
            _rounded(track.expected[row, 0]),
            _rounded(track.lower[row, 0]),
            _rounded(track.upper[row, 0]),
            track.reason(row) if track.device_anomaly[row] else "",
            _rounded(track.novelty[row, 0]),
        ]


def _alarms(track: Track) -> Iterable[list[object]]:
    for alarm in track.alarms:
        yield [
            alarm.alarm,
            track.series[alarm.series].metric,
            _time(alarm.opened),
            "" if alarm.cleared is None else _time(alarm.cleared),
            alarm.severity,
            f"{alarm.peak_score:.3f}",
            _rounded(alarm.value),
            alarm.reason,
        ]


def _time(nanoseconds: int) -> str:
    return f"{np.datetime64(nanoseconds, 'ns')}Z"


def _several_channels(track: Track) -> Iterable[list[object]]:
    score = track.anomaly_score
    for row in range(len(track)):
        yield [
            track.time_written[row],
            _number(score[row]),
            int(track.device_anomaly[row]),
            track.reason(row) if track.device_anomaly[row] else "",
            *(_rounded(channel) for channel in track.score[row]),
        ]


def _number(value: float) -> str:
    """The shortest text that reads back the same; empty for NaN."""
    if not math.isfinite(value):
        return ""
    return repr(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))


def _rounded(value: float) -> str:
    return f"{value:.9g}" if math.isfinite(value) else ""
