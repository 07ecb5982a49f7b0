"""`driftline spark submit`: the engine on Spark, for more than one machine takes."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from driftline.cli.console import CommandError, ConfigOption, Exit, read_config


class SparkAction(StrEnum):
    """What to do."""

    SUBMIT = "submit"


def spark(
    action: Annotated[SparkAction, typer.Argument(help="submit: start the application, or go on with it.")],
    checkpoint: Annotated[
        str,
        typer.Option(
            "--checkpoint", metavar="DIR", help="Where Spark keeps offsets and state; all executors reach it."
        ),
    ],
    master: Annotated[
        str,
        typer.Option("--master", metavar="URL", help="Where it runs: local[2], spark://HOST:PORT, yarn, k8s://URL."),
    ] = "local[*]",
    files: Annotated[
        str,
        typer.Option(
            "--files", metavar="DIR", help="In place of the topic: Parquet files with its columns, as they come."
        ),
    ] = "",
    results: Annotated[
        Path | None,
        typer.Option("--results", metavar="DIR", help="Results as Parquet files too, beside the configured sinks."),
    ] = None,
    every: Annotated[
        str,
        typer.Option("--every", metavar="TIME", help='A batch each "10 seconds"; else as soon as the last is done.'),
    ] = "",
    once: Annotated[bool, typer.Option("--once", help="End when all that is there is read.")] = False,
    tasks: Annotated[
        int, typer.Option("--tasks", metavar="N", min=1, help="Tasks that share the shards; kept by the checkpoint.")
    ] = 8,
    most: Annotated[
        int, typer.Option("--most", metavar="N", min=1, help="Most messages of a batch; of --files most files.")
    ] = 500_000,
    conf: Annotated[
        list[str] | None, typer.Option("--conf", metavar="NAME=VALUE", help="A setting of Spark's own; repeatable.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Run the engine on Spark Structured Streaming: Kafka in, databases and Parquet files out.

    The topic is that of the configuration's kafka.topic. Each of its partitions is a shard with a state of its own,
    which Spark keeps. What runs on one machine alone, such as streams and functions, is named and refused: see
    `driftline check --for spark`.

    Example: driftline spark submit --master local[2] --config plant.toml --checkpoint ./checkpoint
    """
    from driftline.cluster.spark_application import SparkPlan, SparkRefusedError, run

    assert action is SparkAction.SUBMIT
    settings = dict(each.partition("=")[::2] for each in conf or ())
    plan = SparkPlan(checkpoint, files, results, master, every, once, tasks, most, settings)
    try:
        run(read_config(config), plan)
    except SparkRefusedError as error:
        raise CommandError(*error.lines, code=Exit.USAGE) from None
