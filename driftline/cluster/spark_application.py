"""The Spark application: from Kafka, or files with the columns of Kafka's source, to the databases and Parquet files.

`driftline spark submit` runs it, and `spark-submit` does with this file; both take the same options.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.extras import require
from driftline.cluster.result_tables import claim
from driftline.cluster.shard import shard_settings
from driftline.cluster.spark_limits import unfit_for_spark
from driftline.cluster.spark_results import ResultWriter
from driftline.config import Config
from storage.journal.kafka_settings import KafkaSettings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

FILE_COLUMNS = (
    "key binary, value binary, headers array<struct<key: string, value: binary>>, partition int, offset long, "
    "timestamp timestamp"
)
"""What Parquet files in place of Kafka hold: the columns of Spark's Kafka source that are read."""


class SparkRefusedError(ValueError):
    """The application cannot be started so; `lines` say why."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


@dataclass(frozen=True, slots=True)
class SparkPlan:
    """Where messages come from, and where state and results go.

    `files` is a folder that Parquet files are added to; where it is "" the configured Kafka topic is read. `tasks` are
    those that the shards are spread over; like `checkpoint` it stays what it was at the first start. `every` is
    the time between two batches, "" for as soon as the last one is done; `once` ends when all that is there is read.
    `most_records` is the largest batch; of files it counts these. `settings` are Spark's own.
    """

    checkpoint: str
    files: str = ""
    results: Path | None = None
    master: str = ""
    every: str = ""
    once: bool = False
    tasks: int = 8
    most_records: int = 500_000
    settings: Mapping[str, str] = field(default_factory=dict)


def run(config: Config, plan: SparkPlan, say: Callable[[str], None] = print) -> None:
    """Run until stopped, or with `once` until all is read.

    Raises SparkRefusedError before anything starts, MissingExtraError, or what ends a query.
    """
    if refused := _refusals(config, plan):
        raise SparkRefusedError(*refused)
    require("pyspark", extra="spark", purpose="driftline spark")
    if plan.results is not None and (why := claim(plan.results, plan.checkpoint)):
        raise SparkRefusedError(why)
    session = open_session(plan)
    try:
        from pyspark.errors import StreamingQueryException  # noqa: PLC0415  an extra

        query = start(session, config, plan)
        say(f"reading {plan.files or config.kafka.place}, Spark {session.version}, state in {plan.checkpoint}")
        try:
            query.awaitTermination()
        except StreamingQueryException as error:
            raise SparkRefusedError(f"the query has ended: {str(error).strip().splitlines()[0]}") from error
        except KeyboardInterrupt:
            query.stop()
        for line in summary(query):
            say(line)
    finally:
        session.stop()


def open_session(plan: SparkPlan) -> SparkSession:
    """The session of the application; one that spark-submit began is taken over."""
    from pyspark import __version__  # noqa: PLC0415  an extra
    from pyspark.sql import SparkSession  # noqa: PLC0415

    from driftline.cluster.spark_engine import KAFKA  # noqa: PLC0415

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName("driftline")
    if plan.master:
        builder = builder.master(plan.master)
    own = {
        "spark.sql.streaming.stateStore.providerClass": (
            "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"
        ),
        "spark.sql.shuffle.partitions": str(plan.tasks),
        # Each batch writes the whole state of its shards: of many batches it would be many times that.
        "spark.sql.streaming.minBatchesToRetain": "3",
        "spark.ui.showConsoleProgress": "false",
    }
    if not plan.files and "spark.jars" not in plan.settings:
        own["spark.jars.packages"] = f"{KAFKA}:{__version__}"
    for name, value in {**own, **plan.settings}.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def start(session: SparkSession, config: Config, plan: SparkPlan, writer: ResultWriter | None = None) -> Any:
    """Start the query, which goes on from its checkpoint; `writer` is another one than the plan's."""
    from driftline.cluster.spark_engine import messages_of, results_of  # noqa: PLC0415  an extra

    results = results_of(messages_of(source(session, config.kafka, plan)), dict(shard_settings(config)))
    writer = writer or ResultWriter(config.sinks, plan.results)
    stream = results.writeStream.foreachBatch(writer.write_batch).option("checkpointLocation", plan.checkpoint)
    if plan.once:
        stream = stream.trigger(availableNow=True)
    elif plan.every:
        stream = stream.trigger(processingTime=plan.every)
    return stream.start()


def source(session: SparkSession, kafka: KafkaSettings, plan: SparkPlan) -> DataFrame:
    """What is read."""
    if plan.files:
        return (
            session.readStream.schema(FILE_COLUMNS).option("maxFilesPerTrigger", plan.most_records).parquet(plan.files)
        )
    return (
        session.readStream.format("kafka")
        .option("kafka.bootstrap.servers", ",".join(kafka.servers))
        .option("subscribe", kafka.topic)
        .option("includeHeaders", "true")
        .option("startingOffsets", "earliest")
        .option("maxOffsetsPerTrigger", plan.most_records)
        .load()
    )


def summary(query: Any) -> Sequence[str]:
    """A line on what the last batch was, where there was one."""
    last = query.lastProgress
    if last is None:
        return ["nothing was read"]
    return [f"batch {last['batchId']} was the last"]


def _refusals(config: Config, plan: SparkPlan) -> list[str]:
    lines = [f"{line}: this does not run on Spark" for line in unfit_for_spark(config)]
    if not config.sinks and plan.results is None:
        lines.append("results would go nowhere: expected [[sinks]] in the configuration, or --results FOLDER")
    return lines


def main(arguments: Sequence[str]) -> int:
    """What `spark-submit` runs: its own `--master` comes before this file's name, ours stays out."""
    from driftline.cli.command_line import main as command  # noqa: PLC0415  which imports this

    return command(["spark", "submit", "--master", "", *arguments])


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
