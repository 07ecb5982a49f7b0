"""`driftline backtest`: recorded data scored as the service would have scored them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from driftline.cli.console import CommandError, ConfigOption, DataOption, Exit, data_folder, read_config
from tuning.names import CorpusName

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuning.backtest import Plan
    from tuning.corpora import Card

DetectorOption = Annotated[
    str | None,
    typer.Option("--detector", metavar="NAME", help="A detector of the configuration, or a type with its defaults."),
]
TimeOption = Annotated[
    str | None, typer.Option("--time", metavar="COLUMN", help="Column of times; found where not given.")
]
ValueOption = Annotated[
    list[str] | None, typer.Option("--value", metavar="COLUMN", help="Column of numbers, repeatable; else all.")
]
IgnoreOption = Annotated[
    list[str] | None,
    typer.Option("--ignore", metavar="COLUMN", help="Column that is not looked at, such as a label, repeatable."),
]


FilesArgument = Annotated[
    list[Path] | None,
    typer.Argument(metavar="FILE...", help="CSV or Parquet; with --corpus its folder.", show_default=False),
]
OutOption = Annotated[Path | None, typer.Option("--out", "-o", metavar="DIR", help="Folder for the results.")]
MultivariateOption = Annotated[
    bool, typer.Option("--multivariate", help="Score the channels of a file together, as one device.")
]
CorpusOption = Annotated[CorpusName | None, typer.Option("--corpus", help="Run a benchmark and print its scores.")]
SplitsOption = Annotated[
    bool, typer.Option("--splits", help="With nab: also scores at thresholds fitted on the other half.")
]
CalibrationOption = Annotated[
    bool, typer.Option("--calibration", help="Count alarms on made series without faults against the budget.")
]
StoreOption = Annotated[
    str | None,
    typer.Option("--from", metavar="STORE", help='In place of files: "embedded", or a sink of the configuration.'),
]
DevicesOption = Annotated[
    list[str] | None,
    typer.Option("--device", metavar="PATTERN", help="With --from: only such devices, as plant/*; repeatable."),
]
SinceOption = Annotated[str | None, typer.Option("--since", metavar="TIME", help="With --from: the earliest time.")]
UntilOption = Annotated[
    str | None, typer.Option("--until", metavar="TIME", help="With --from: the first time left out.")
]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", min=1, help="Processes; one for each core where not given.")
]


def backtest(
    files: FilesArgument = None,
    out: OutOption = None,
    detector: DetectorOption = None,
    time_column: TimeOption = None,
    value_columns: ValueOption = None,
    ignore: IgnoreOption = None,
    multivariate: MultivariateOption = False,
    corpus: CorpusOption = None,
    splits: SplitsOption = False,
    calibration: CalibrationOption = False,
    store: StoreOption = None,
    devices: DevicesOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    workers: WorkersOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Score recorded data row by row as the service would have, and write a CSV of the same rows for each file.

    One value column gives timestamp, value, anomaly_score, anomaly, expected, lower, upper, reason; several give
    timestamp, anomaly_score, anomaly, reason and a score for each channel. The anomaly score is 0 while the detector
    warms up, for rows behind their channel's newest (late: not learned), and for cells without a number. Detectors are
    those of the route that would take the file's replay, else "default". A file without times is taken to have a row a
    minute.

    With --from what a store holds is written to DIR/recordings, a Parquet file for each device, and scored from there;
    detectors are those of the route that takes the device's name for a topic.

    Example: driftline backtest machine_temperature.csv --out results
    """
    from tuning.recordings import RecordingError
    from tuning.stored import TIME

    plan = read_plan(config, detector, multivariate=multivariate)
    try:
        if calibration:
            _calibrate(plan, workers)
        elif out is None or (not files) == (store is None):
            raise CommandError("expected FILE... or --from STORE, and --out DIR; or --calibration", code=Exit.USAGE)
        elif store is not None:
            recorded = _recordings(store, out / "recordings", config, data, tuple(devices or "*"), since, until)
            _files(plan, recorded, out, (TIME, (), ()), workers)
        elif not files:
            raise CommandError("expected FILE...", code=Exit.USAGE)
        elif corpus is not None:
            _corpus(plan, corpus, files, out, splits, workers)
        else:
            columns = (time_column, tuple(value_columns or ()), tuple(ignore or ()))
            _files(plan, files, out, columns, workers)
    except (RecordingError, OSError) as error:
        raise CommandError(str(error), code=Exit.USAGE) from None


def read_plan(config: Path | None, detector: str | None, *, multivariate: bool = False) -> Plan:
    """What the configuration scores with; a `detector` that is not named there is taken for a type."""
    from common.suggestions import unknown
    from detectors.detector_registry import DETECTORS, ROW_DETECTORS
    from ingest.ingest_settings import ComponentSettings
    from tuning.backtest import Plan

    settings = read_config(config)
    detectors = dict(settings.detectors)
    types = [kind.name for kind in (*DETECTORS, *ROW_DETECTORS)]
    if detector is not None and detector not in detectors:
        if detector not in types:
            raise CommandError(f"--detector: {unknown(detector, [*detectors, *types])}", code=Exit.USAGE)
        detectors[detector] = ComponentSettings(type=detector)
    return Plan(detectors, settings.routes, settings.alarm, settings.series, detector, multivariate)


def print_card(card: Card) -> None:
    """Print a table under its title."""
    from driftline.cli.tables import Format, Rows, print_rows

    print(f"\n{card.title}")
    print_rows(Rows(card.columns, card.rows), Format.TABLE)


@contextmanager
def progress(total: int, what: str) -> Iterator[Callable[[object], None]]:
    """A bar on stderr where that is a terminal; gives what to call after each step."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda _: bar.advance(task)


def _recordings(
    store: str,
    folder: Path,
    config: Path | None,
    data: Path | None,
    devices: tuple[str, ...],
    since: str | None,
    until: str | None,
) -> list[Path]:
    from driftline.cli.store_opening import open_reader
    from tuning.stored import write_recordings

    start, end = (_time(name, text) for name, text in (("--since", since), ("--until", until)))
    with open_reader(store, read_config(config), data_folder(config, data)) as reader:
        return write_recordings(reader, folder, devices=devices, start=start, end=end)


def _time(option: str, text: str | None) -> int | None:
    from devices.times import BadTimeError, parse_time

    try:
        return None if text is None else parse_time(text)
    except BadTimeError as error:
        raise CommandError(f"{option}: {error}", code=Exit.USAGE) from None


def _files(
    plan: Plan,
    files: list[Path],
    out: Path,
    columns: tuple[str | None, tuple[str, ...], tuple[str, ...]],
    workers: int | None,
) -> None:
    from driftline.cli.tables import Format, Rows, print_rows
    from tuning.results import output_paths
    from tuning.runs import Job, run_all

    time_column, values, ignored = columns
    jobs = [
        Job(str(path), path, output, time_column, values, ignored)
        for path, output in zip(files, output_paths(files, out), strict=True)
    ]
    with progress(len(jobs), "scoring") as advance:
        outcomes = run_all(plan, jobs, workers=workers, done=advance)
    rows = [
        [job.name, str(job.output), len(o.score), o.late, int(o.anomaly.sum()), len(o.openings)]
        for job, o in zip(jobs, outcomes.values(), strict=True)
    ]
    print_rows(Rows(["file", "result", "rows", "late", "anomalies", "alarms"], rows), Format.TABLE)
    for name, outcome in outcomes.items():
        if not outcome.timed:
            typer.echo(f"{name}: no column of times found; rows are taken to be a minute apart", err=True)


def _corpus(plan: Plan, corpus: CorpusName, files: list[Path], out: Path, splits: bool, workers: int | None) -> None:
    from tuning.corpora import jobs_of, run_corpus

    if len(files) != 1:
        raise CommandError("with --corpus: expected one folder", code=Exit.USAGE)
    with progress(len(jobs_of(corpus, files[0], out)), corpus.value) as advance:
        cards = run_corpus(plan, corpus, files[0], out, workers=workers, splits=splits, done=advance)
    for card in cards:
        print_card(card)


def _calibrate(plan: Plan, workers: int | None) -> None:
    from tuning.budget_calibration import calibrate, card_of, series_count

    with progress(series_count(), "calibration") as advance:
        results = calibrate(plan, workers=workers, done=advance)
    print_card(card_of(results))
