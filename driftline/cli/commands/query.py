"""`driftline query`: SQL over what is stored."""

from __future__ import annotations

from typing import Annotated

import typer

from driftline.cli.client import query as ask
from driftline.cli.console import ConfigOption, DataOption, data_folder
from driftline.cli.tables import Format, FormatOption, WideOption, print_rows

LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, help="Most rows printed.")]


def query(
    sql: Annotated[str, typer.Argument(metavar="SQL", help="One SELECT in DuckDB's SQL.", show_default=False)],
    form: FormatOption = Format.TABLE,
    wide: WideOption = False,
    limit: LimitOption = 10_000,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Answer an SQL query, while the service runs and while it does not.

    The tables: points(device, metric, time, value, score, expected, lower, upper, anomaly, late),
    alarms, dead_letters, devices, series, states, counts. Times are in UTC. Nothing can be changed.

    A running service gives at most http.max_query_rows rows a query.

    Example: driftline query "select device, count(*) from points where anomaly group by device" --format csv
    """
    print_rows(ask(data_folder(config, data), sql, limit=limit), form, wide=wide)
