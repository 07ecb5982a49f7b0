"""`driftline tune`: parameters of a detector searched on recorded data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from driftline.cli.commands.backtest import IgnoreOption, TimeOption, ValueOption, progress, read_plan
from driftline.cli.console import CommandError, ConfigOption, Exit

if TYPE_CHECKING:
    from tuning.search import Example, Parameters, Trial


def tune(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="CSV or Parquet recordings.", show_default=False)
    ],
    detector: Annotated[
        str, typer.Option("--detector", metavar="NAME", help="A detector of the configuration, or a type.")
    ] = "default",
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels", metavar="FILE", help="Faults: JSON, a list of start and end by file, or CSV file,start,end."
        ),
    ] = None,
    trials: Annotated[int, typer.Option("--trials", min=2, help="How many sets of parameters to try.")] = 40,
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", metavar="NAME", help="Vary these only, repeatable; else all.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another seed tries other parameters.")] = 0,
    time_column: TimeOption = None,
    value_columns: ValueOption = None,
    ignore: IgnoreOption = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes; one for each core where not given.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Search a detector's parameters at random within their bounds, and print the best as TOML to paste.

    With labels the aim is the NAB score (early detections, few false ones); without, an alarm rate near the configured
    budget on data taken to be normal. Every second file is held out: its figure says what the choice is worth on data
    that it was not made on. The first line of the table is what is configured now.

    Example: driftline tune pump-*.csv --detector zscore --labels faults.csv
    """
    from tuning.recordings import RecordingError
    from tuning.search import as_toml, search

    plan = read_plan(config, detector)
    try:
        examples = _examples(files, labels, time_column, value_columns or [], ignore or [])
        with progress(trials, "trials") as advance:
            found = search(
                plan, detector, examples, trials=trials, seed=seed, only=parameter or (), workers=workers, done=advance
            )
    except (RecordingError, ValueError, OSError) as error:
        raise CommandError(str(error), code=Exit.USAGE) from None
    kind = plan.detectors[detector].type
    _table(found, plan.detectors[detector].parameters, "NAB score" if labels else "minus octaves off the budget")
    if len(examples) == 1:
        typer.echo("one file alone: nothing could be held out, so the figure flatters the choice", err=True)
    print(f"\n{as_toml(detector, kind, found[0].parameters)}")


def _examples(
    files: list[Path], labels: Path | None, time_column: str | None, values: list[str], ignore: list[str]
) -> list[Example]:
    import numpy as np

    from tuning.recordings import open_recording
    from tuning.runs import EVERY
    from tuning.search import Example, read_windows, windows_for

    faults = read_windows(labels) if labels else None
    examples = []
    for path in files:
        recording = open_recording(path, time_column=time_column, value_columns=values, ignore=ignore, every=EVERY)
        chunks = list(recording.chunks())
        time = np.concatenate([chunk.time for chunk in chunks])
        windows = windows_for(path, faults, time) if faults is not None else None
        columns = np.concatenate([chunk.values for chunk in chunks])
        examples.append(Example(str(path), recording.value_columns, time, columns, windows))
    return examples


def _table(found: list[Trial], configured: Parameters, aim: str) -> None:
    from driftline.cli.tables import Format, Rows, print_rows

    now = next(trial for trial in found if trial.parameters == configured)
    rows = [
        [what, round(trial.fitted, 3), None if trial.held_out != trial.held_out else round(trial.held_out, 3)]
        for what, trial in (("configured", now), ("best found", found[0]))
    ]
    print_rows(Rows(["parameters", aim, "held out"], rows), Format.TABLE)
