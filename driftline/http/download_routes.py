"""Points as a file to take away."""

from __future__ import annotations

import csv
import io
import math
import re
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query, Response

from driftline.http.errors import unknown
from driftline.http.parameters import End, Start
from driftline.http.reply import SeriesNumber
from driftline.http.view import ServiceView

MOST_POINTS = 1_000_000
_COLUMNS = ("time", "value", "score", "expected", "lower", "upper", "anomaly")


def download_router(view: ServiceView) -> APIRouter:
    """The endpoint, without a prefix."""
    router = APIRouter(tags=["points"])

    @router.get("/points.csv", response_class=Response, responses={200: {"content": {"text/csv": {}}}})
    def points_csv(
        series: Annotated[SeriesNumber, Query(description="The series' number.")], start: Start = None, end: End = None
    ) -> Response:
        """Points of one series as CSV, times in UTC; beyond a million, thinned as `/points` does."""
        record = next((each for each in view.store.series() if each.series == series), None)
        if record is None:
            raise unknown("query.series", str(series), [])
        points = view.store.points(series, start, end, MOST_POINTS)
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_COLUMNS)
        times = np.datetime_as_string(points.time.view("datetime64[ns]"), timezone="UTC")
        columns = [_numbers(getattr(points, name)) for name in _COLUMNS[1:-1]]
        writer.writerows(zip(times.tolist(), *columns, points.anomaly.astype(int).tolist(), strict=True))
        name = re.sub(r"[^A-Za-z0-9._-]+", "_", f"{record.device}_{record.metric}").strip("._")[:120] or "points"
        headers = {"Content-Disposition": f'attachment; filename="{name}.csv"', "Cache-Control": "no-store"}
        return Response(text.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)

    return router


def _numbers(column: np.ndarray) -> list[str]:
    return ["" if math.isnan(number) else repr(number) for number in column.tolist()]
