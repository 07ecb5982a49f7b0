"""A device's stored past scored again under other settings, beside the service, telling how far it is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import count
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from alerts.alarm_settings import AlarmSettings
from ingest.ingest_settings import ComponentSettings, RouteSettings
from ingest.knowledge_settings import SeriesSettings
from storage.store import SeriesPoints
from tuning.backtest import Backtest, Plan
from tuning.recordings import RecordingChunk, RecordingError

_ROWS_AT_A_TIME = 2_000
_KEPT = 16


class RescoringStoppedError(Exception):
    """It was given up: a newer one of the same device has taken its place."""


def rescored(
    device: str,
    columns: Mapping[str, SeriesPoints],
    series: Sequence[SeriesSettings],
    detectors: Mapping[str, ComponentSettings],
    alarm: AlarmSettings,
    *,
    progress: Callable[[int, int], object] = lambda _done, _all: None,
) -> dict[str, SeriesPoints]:
    """The points of a device's metrics with the scores that they would have had, from a state that knows nothing.

    `series` is what is known of them and what scores them; the first that matches counts. `progress` is told rows done
    and rows in all; what it raises ends the work. Raises RecordingError.
    """
    names = list(columns)
    times = np.unique(np.concatenate([points.time for points in columns.values()]))
    values = np.full((len(times), len(names)), np.nan)
    for channel, points in enumerate(columns.values()):
        values[np.searchsorted(times, points.time), channel] = points.value
    plan = Plan(detectors, [RouteSettings(filter="#")], alarm, list(series))
    backtest = Backtest(plan, device, names, topic=device)
    for first in range(0, len(times), _ROWS_AT_A_TIME):
        rows = slice(first, first + _ROWS_AT_A_TIME)
        progress(first, len(times))
        written: list[str | int | float] = list(times[rows].tolist())
        backtest.step(RecordingChunk(first + 1, times[rows], written, values[rows]))
    track = backtest.finish()
    progress(len(times), len(times))
    return {name: _scored(columns[name], times, track.score[:, channel]) for channel, name in enumerate(names)}


def _scored(points: SeriesPoints, times: NDArray[np.int64], score: NDArray[np.float64]) -> SeriesPoints:
    return replace(points, score=np.ascontiguousarray(score[np.searchsorted(times, points.time)]))


@dataclass(slots=True)
class Work:
    """One rescoring: how far it is, and what came of it; `error` says why nothing did."""

    number: int
    device: str
    done: int = 0
    rows: int = 0
    seconds: float = 0.0
    result: dict[str, object] | None = None
    error: str = ""
    is_stopped: bool = False

    def tell(self, done: int, rows: int) -> None:
        """Take note of progress. Raises RescoringStoppedError where it has been given up."""
        self.done, self.rows = done, rows
        if self.is_stopped:
            raise RescoringStoppedError


class Rescorings:
    """Does one at a time, in a thread of its own; a newer one of a device takes the place of an older one."""

    def __init__(self) -> None:
        self._works: dict[int, Work] = {}
        self._numbers = count(1)
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="rescoring")

    def start(self, device: str, run: Callable[[Work], dict[str, object]]) -> Work:
        """Begin; `run` does it, telling the work how far it is."""
        with self._lock:
            for other in self._works.values():
                other.is_stopped |= other.device == device
            work = Work(next(self._numbers), device)
            self._works[work.number] = work
            for number in list(self._works)[:-_KEPT]:
                self._works.pop(number).is_stopped = True
        self._pool.submit(self._run, work, run)
        return work

    def get(self, number: int) -> Work | None:
        """One of the last works."""
        return self._works.get(number)

    @staticmethod
    def _run(work: Work, run: Callable[[Work], dict[str, object]]) -> None:
        began = monotonic()
        try:
            work.tell(0, 0)
            work.result = run(work)
        except RescoringStoppedError:
            work.error = "given up: newer settings are being looked at"
        except (RecordingError, ValueError, OSError) as error:
            work.error = str(error)
        except BaseException as error:
            work.error = f"failed: {error}"
            raise
        finally:
            work.seconds = monotonic() - began
