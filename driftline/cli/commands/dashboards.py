"""`driftline dashboards`: Grafana's dashboards, written to files, pushed to a Grafana, compared with it, or drawn."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from driftline.cli.console import CommandError, ConfigOption, DataOption, Exit, data_folder, read_config

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dashboards.building import Json
    from dashboards.grafana_client import Grafana
    from dashboards.provisioning import BuildSettings
    from dashboards.pushing import Step
    from dashboards.sources import Source
    from devices.records import SeriesRecord

MOST_SERIES = 1_000_000


class Action(StrEnum):
    """What to do with the dashboards."""

    BUILD = "build"
    PUSH = "push"
    DIFF = "diff"
    DRAW = "draw"


SourceOption = Annotated[
    str,
    typer.Option(
        "--source",
        metavar="TYPE",
        help="Type of the database that Grafana asks; by default that of the first of the sinks, else victoriametrics.",
    ),
]
OutOption = Annotated[Path, typer.Option("--out", metavar="DIR", help="build, draw: the folder written to.")]
UrlOption = Annotated[
    str,
    typer.Option("--url", metavar="URL", envvar="DRIFTLINE_GRAFANA_URL", help="push, diff: address of the Grafana."),
]
TokenFileOption = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        help="push, diff: file with a token of a Grafana service account; else DRIFTLINE_GRAFANA_TOKEN.",
    ),
]
ForceOption = Annotated[bool, typer.Option("--force", help="push, diff: replace what was changed in Grafana too.")]
DatabaseUrlOption = Annotated[
    str, typer.Option("--database-url", metavar="URL", help="Where Grafana reaches the database; by default by source.")
]
PageUrlOption = Annotated[
    str, typer.Option("--page-url", metavar="URL", help="Where a browser reaches Driftline's own page.")
]
OrgOption = Annotated[str, typer.Option("--org", help="InfluxDB's organisation.")]
BucketOption = Annotated[str, typer.Option("--bucket", help="InfluxDB's bucket.")]
DatabaseTokenOption = Annotated[
    str,
    typer.Option(
        "--database-token-path",
        metavar="FILE",
        help="build: file with InfluxDB's token, as Grafana sees it. push takes DRIFTLINE_INFLUX_TOKEN.",
    ),
]
DashboardsPathOption = Annotated[
    str, typer.Option("--dashboards-path", metavar="DIR", help="build: folder of the dashboards as Grafana sees it.")
]
WebhookOption = Annotated[
    str, typer.Option("--webhook", metavar="URL", help="build: where Grafana's alerts are posted.")
]
EmailOption = Annotated[str, typer.Option("--email", help="build: whom Grafana's alerts are mailed to.")]
DeviceOption = Annotated[str, typer.Option("--device", help="draw: the device of the device dashboard.")]
RangeOption = Annotated[str, typer.Option("--range", help="draw: length of the time range.")]
UntilOption = Annotated[str, typer.Option("--until", metavar="TIME", help="draw: its end, ISO 8601; by default now.")]


def dashboards(
    action: Annotated[Action, typer.Argument(help="What to do.", show_default=False)],
    source: SourceOption = "",
    out: OutOption = Path("grafana"),
    url: UrlOption = "http://127.0.0.1:3000",
    token_file: TokenFileOption = None,
    force: ForceOption = False,
    database_url: DatabaseUrlOption = "",
    page_url: PageUrlOption = "http://127.0.0.1:8000/",
    org: OrgOption = "driftline",
    bucket: BucketOption = "driftline",
    database_token: DatabaseTokenOption = "",
    dashboards_path: DashboardsPathOption = "",
    webhook: WebhookOption = "",
    email: EmailOption = "",
    device: DeviceOption = "",
    time_range: RangeOption = "30m",
    until: UntilOption = "",
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Grafana dashboards for the stored data: fleet, device, detector health, pipeline, simulated faults.

    build writes dashboards, data source, alert rules and contact point as files that a Grafana reads at its start.
    push brings a running Grafana up to date; a dashboard that was changed there stays as it is. diff shows what push
    would change. draw makes a picture of each dashboard from VictoriaMetrics, without a Grafana.

    Example: driftline dashboards build --out grafana --source influxdb
    """
    from common.extras import require

    require("grafana_foundation_sdk", extra="grafana", purpose="Building dashboards")
    from dashboards.building import all_built
    from dashboards.provisioning import BuildSettings, write_all

    chosen = _source(source, config)
    units = _units(data_folder(config, data))
    settings = BuildSettings(
        database_url=database_url or chosen.default_url,
        page_url=page_url,
        org=org,
        bucket=bucket,
        token_path=database_token,
        dashboards_path=dashboards_path,
        webhook=webhook,
        email=email,
    )
    if action is Action.BUILD:
        for path in write_all(out, chosen, settings, units=units):
            print(path)
    elif action is Action.DRAW:
        _draw(out, settings.database_url, units, device=device, time_range=time_range, until=until)
    else:
        built = all_built(chosen, units=units, page_url=page_url)
        _bring(_grafana(url, token_file), built, chosen, settings, force=force, only_show=action is Action.DIFF)


def _source(name: str, config: Path | None) -> Source:
    """The data source asked for, else that of the first sink of the configuration."""
    from dashboards.sources import DEFAULT_SOURCE, source_named

    sinks = [] if name else read_config(config).sinks
    try:
        return source_named(name or (sinks[0].type if sinks else DEFAULT_SOURCE))
    except ValueError as error:
        raise CommandError(f"--source: {error}", code=Exit.USAGE) from None


def _units(folder: Path) -> Mapping[str, str]:
    """Each metric's unit by what was stored; of the simulated fleet, which sends none, by its own list."""
    from dashboards.grafana_units import SIMULATED, units_of

    try:
        known = _series(folder)
    except CommandError as error:
        print(f"driftline: dashboards without units, since the series cannot be read: {error}", file=sys.stderr)
        return {}
    if known is None:
        return SIMULATED
    found = units_of(record for record in known if not record.metric.startswith("fault."))
    simulated = any(record.metric.startswith("fault.") for record in known)
    return {metric: unit or (SIMULATED.get(metric, "") if simulated else "") for metric, unit in found.items()}


def _series(folder: Path) -> list[SeriesRecord] | None:
    from devices.records import SeriesRecord
    from driftline.cli.client import query
    from driftline.runtime.data_folder import DataFolder

    if not DataFolder(folder).database.exists():
        return None
    found = query(folder, "select series, device, metric, unit from series", limit=MOST_SERIES)
    return [SeriesRecord(int(number), device, metric, unit) for number, device, metric, unit in found.rows]


def _grafana(url: str, token_file: Path | None) -> Grafana:
    import os

    from dashboards.grafana_client import Grafana

    try:
        token = token_file.read_text().strip() if token_file else os.environ.get("DRIFTLINE_GRAFANA_TOKEN", "")
    except OSError as error:
        raise CommandError(f"{token_file}: cannot be read: {error.strerror}", code=Exit.USAGE) from None
    if not token:
        raise CommandError(
            "no token for Grafana: make a service account there that may edit dashboards and data sources, and give "
            "its token in DRIFTLINE_GRAFANA_TOKEN or by --token-file",
            code=Exit.USAGE,
        )
    try:
        return Grafana(url, token)
    except ValueError as error:
        raise CommandError(f"--url: {error}", code=Exit.USAGE) from None


def _bring(
    grafana: Grafana,
    built: Mapping[str, Json],
    source: Source,
    settings: BuildSettings,
    *,
    force: bool,
    only_show: bool,
) -> None:
    import os

    from dashboards.grafana_client import GrafanaError
    from dashboards.pushing import planned, push

    wanted = dict(source.settings(settings.database_url, org=settings.org, bucket=settings.bucket))
    if source.language == "flux" and (token := os.environ.get("DRIFTLINE_INFLUX_TOKEN")):
        wanted["secureJsonData"] = {"token": token}
    try:
        steps = (planned if only_show else push)(grafana, built, wanted, force=force)
    except GrafanaError as error:
        raise CommandError(str(error), code=Exit.UNREACHABLE) from None
    for step in steps:
        print(_told(step, only_show=only_show))
    if not only_show and any(step.change == "kept" for step in steps):
        raise CommandError("something in Grafana was left as it is there; `driftline dashboards diff` shows what")


def _told(step: Step, *, only_show: bool) -> str:
    details = step.details if only_show or step.change == "kept" else ()
    shown = [f"    {line}" for line in details[: None if only_show else 1]]
    return "\n".join([f"{step.change:<10} {step.kind} {step.name}", *shown])


def _draw(out: Path, url: str, units: Mapping[str, str], *, device: str, time_range: str, until: str) -> None:
    import time
    from datetime import datetime

    from common.durations import parse_duration
    from dashboards.drawing import Drawing, drawn
    from dashboards.interpolation import TimeRange, choosing_device
    from dashboards.panels import BOARDS
    from dashboards.querying import PrometheusSource, QueryError

    try:
        end = int(datetime.fromisoformat(until).timestamp()) if until else int(time.time())
        length = max(parse_duration(time_range) // 1_000_000_000, 60)
    except ValueError as error:
        raise CommandError(str(error), code=Exit.USAGE) from None
    span = TimeRange(end - length, end, max(length // 180, 1))
    out.mkdir(parents=True, exist_ok=True)
    try:
        with PrometheusSource(url) as database:
            shown = device or database.first_device(span)
            for board in BOARDS:
                path = out / f"{board.uid.removeprefix('driftline-')}.svg"
                path.write_text(drawn(board, Drawing(database, choosing_device(shown), span, units)), encoding="utf-8")
                print(path)
    except (QueryError, OSError) as error:
        raise CommandError(str(error), code=Exit.UNREACHABLE) from None
