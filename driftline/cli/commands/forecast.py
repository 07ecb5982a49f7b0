"""`driftline forecast`: where a series will be, and when it reaches its limits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode

import typer

from driftline.cli.console import CommandError, ConfigOption, DataOption, Exit, data_folder, read_config
from driftline.cli.tables import Format, FormatOption, Rows, WideOption, print_rows

if TYPE_CHECKING:
    from driftline.config import Config

SHOWN = 12
COLUMNS = ["time", "expected", "lower", "upper"]


def forecast(
    device: Annotated[str, typer.Argument(metavar="DEVICE", help="The device's name.", show_default=False)],
    metric: Annotated[str, typer.Argument(metavar="METRIC", help="One of its metrics.", show_default=False)],
    horizon: Annotated[str, typer.Option("--horizon", help="How far, from 1m to 28d.")] = "24h",
    form: FormatOption = Format.TABLE,
    wide: WideOption = False,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Say where a metric will be, and when it reaches a limit, while the service runs and while it does not.

    Four of five readings are to lie between lower and upper. Where the history is too short it says so.

    Example: driftline forecast plant/hall-1/tank-01 level --horizon 6h
    """
    found = _forecast(read_config(config), data_folder(config, data), device, metric, horizon)
    times = found["time"]
    # A table shows some of the steps, the last among them; other forms show all.
    every = max(1, -(-len(times) // SHOWN)) if form is Format.TABLE else 1
    kept = [n for n in range(len(times)) if (len(times) - 1 - n) % every == 0]
    if form is Format.TABLE:
        print(found["sentence"])
    if kept or form is not Format.TABLE:
        rows = [[_moment(times[n]), *(float(f"{found[name][n]:.5g}") for name in COLUMNS[1:])] for n in kept]
        print_rows(Rows(COLUMNS, rows), form, wide=wide)


def _forecast(config: Config, data: Path, device: str, metric: str, horizon: str) -> dict[str, Any]:
    """What the API says; worked out from the files where no service runs."""
    from common.durations import parse_duration
    from common.suggestions import unknown
    from driftline.cli.client import get, running_service
    from driftline.cli.store_opening import open_reader
    from driftline.runtime.forecasting import check_horizon, forecast_series
    from ingest.knowledge_settings import KnowledgeSettings, of_series
    from storage.embedded.database import EmbeddedStore
    from storage.embedded.sql_guard import QueryError

    if (service := running_service(data)) is not None:
        asked = urlencode({"device": device, "metric": metric, "horizon": horizon})
        return dict(get(service, f"forecast?{asked}"))
    try:
        length = check_horizon(parse_duration(horizon))
    except ValueError as error:
        raise CommandError(f"--horizon: {error}", code=Exit.USAGE) from None
    with open_reader("embedded", config, data) as store:
        assert isinstance(store, EmbeddedStore)
        records = store.series()
        of_device = {record.metric: record for record in records if record.device == device}
        if not of_device:
            raise CommandError(
                unknown(device, sorted({record.device for record in records}), "device"), code=Exit.USAGE
            )
        if metric not in of_device:
            raise CommandError(f"{device}: {unknown(metric, sorted(of_device), 'metric')}", code=Exit.USAGE)
        facts = of_series(config.series, device, metric) or KnowledgeSettings()
        try:
            return forecast_series(store, of_device[metric], facts, length).as_json()
        except QueryError as error:
            raise CommandError(str(error)) from None


def _moment(nanoseconds: int) -> str:
    from datetime import UTC, datetime

    return f"{datetime.fromtimestamp(nanoseconds / 1e9, UTC):%Y-%m-%d %H:%M:%SZ}"
