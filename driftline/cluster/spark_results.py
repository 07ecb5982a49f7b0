"""Results of a batch on Spark to where they are kept. All of it may be done twice: the second time changes nothing."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import sleep
from typing import Any

from driftline.cluster.result_tables import alarms_table, counts_table, decode_table, points_table, write_tables
from storage.external.outputs import decode_output
from storage.external.sink_registry import SinkWriter, sink_kind
from storage.storage_settings import SinkSettings, read_token
from storage.store import StepOutput

log = logging.getLogger(__name__)

_TRIES = 12
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.5, 60.0


@dataclass(frozen=True, slots=True)
class ResultWriter:
    """Writes the rows of a batch's results (`spark_engine.OUTPUT`) to the external databases, and as Parquet files to
    a folder that all executors see, if any. A database's token is read where it is written from."""

    sinks: Sequence[SinkSettings]
    folder: Path | None

    def write_batch(self, frame: Any, batch: int) -> None:
        """Called by Spark for each batch; returns once all is written, and then it counts."""
        frame.foreachPartition(lambda rows: self.write_rows(rows, batch))

    def write_rows(self, rows: Iterable[Any], batch: int) -> None:
        """Raises OSError where a database stays away: Spark does the batch again."""
        writers: list[SinkWriter] = []
        try:
            for row in rows:
                output = decode_output(bytes(row.output))
                if self.folder is not None:
                    tables = {
                        "points": points_table(output),
                        "alarms": alarms_table(output, row.shard),
                        "dead_letters": decode_table(bytes(row.letters)),
                        "counts": counts_table(output, row.shard),
                    }
                    write_tables(self.folder, batch, row.shard, tables)
                if not writers:
                    writers += [_opened(sink) for sink in self.sinks]
                for sink, writer in zip(self.sinks, writers, strict=True):
                    write_patiently(sink.name, writer, output, sleep)
        finally:
            for writer in writers:
                writer.close()


def _opened(sink: SinkSettings) -> SinkWriter:
    writer = sink_kind(sink.type).writer(sink, token=read_token(sink, os.environ), series=())
    writer.open()
    return writer


def write_patiently(name: str, writer: SinkWriter, output: StepOutput, wait: Callable[[float], object]) -> None:
    """Write to a database that may be away for some minutes. Raises OSError where it stays away."""
    seconds = _FIRST_WAIT_SECONDS
    for left in range(_TRIES - 1, -1, -1):
        try:
            refused = writer.write(output)
        except OSError as error:
            if not left:
                raise
            log.warning("sink %s: %s; tried again in %g s", name, error, seconds)
            wait(seconds)
            seconds = min(2 * seconds, _LONGEST_WAIT_SECONDS)
            continue
        if refused:
            log.warning("sink %s refused %d lines, the first: %s", name, len(refused), refused[0].reason)
        return
