"""Store: a step's output as bytes: an Arrow IPC stream of its points, with all else in the schema's metadata.

Dead letters are left out: no external database takes them.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from numpy.typing import NDArray

from common.extras import optional
from devices.batch import ScoredBatch
from devices.records import ActionRecord, AlarmRecord, AlarmState, SeriesRecord, SeverityRise
from storage.store import DevicePresence, StepOutput, StreamResult

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = optional("pyarrow", extra="influx", purpose="Writing to InfluxDB or VictoriaMetrics")

_KEY = b"driftline.output"


def encode_output(output: StepOutput) -> bytes:
    """`output`, without its dead letters, as an Arrow IPC stream compressed with LZ4. Every bit of a float survives."""
    rest = {
        "position": output.position,
        "next_position": output.next_position,
        "series": [asdict(record) for record in output.series],
        "alarms": [_alarm_fields(record) for record in output.alarms],
        "rises": [asdict(rise) for rise in output.rises],
        "counts": output.counts,
        "devices": [asdict(state) for state in output.devices],
        "actions": [asdict(action) for action in output.actions],
        "deleted": output.deleted,
        # What a window holds so far is left out: its last result has the same labels and time.
        "stream_results": [asdict(each) for each in output.stream_results if each.sinks and each.kind != "early"],
    }
    names = [field.name for field in fields(ScoredBatch)]
    columns = [pa.array(getattr(output.points, name)) for name in names]
    batch = pa.record_batch(columns, names=names).replace_schema_metadata({_KEY: orjson.dumps(rest)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def decode_output(data: bytes) -> StepOutput:
    """The output that `encode_output` made `data` of. Raises ValueError where it did not."""
    try:
        with pa.ipc.open_stream(data) as reader:
            batch = reader.read_next_batch()
            rest = orjson.loads(batch.schema.metadata[_KEY])
        # An output that an older version spooled lacks the columns that have been added since.
        held = set(batch.schema.names)
        points = ScoredBatch(*(_column(batch, field.name) for field in fields(ScoredBatch) if field.name in held))
        return StepOutput(
            rest["position"],
            rest["next_position"],
            points,
            [SeriesRecord(**record) for record in rest["series"]],
            alarms=[_alarm(record) for record in rest["alarms"]],
            rises=[SeverityRise(**rise) for rise in rest.get("rises", ())],
            counts=rest["counts"],
            devices=[DevicePresence(**state) for state in rest["devices"]],
            actions=[ActionRecord(**action) for action in rest.get("actions", ())],
            deleted=rest.get("deleted", []),
            stream_results=[_result(result) for result in rest.get("stream_results", ())],
        )
    except (pa.ArrowException, KeyError, TypeError, StopIteration) as error:
        raise ValueError(f"{len(data)} bytes are not a stored output: {error}") from error


def _column(batch: Any, name: str) -> NDArray[Any]:
    return np.asarray(batch.column(name).to_numpy(zero_copy_only=False))


def _result(stored: dict[str, Any]) -> StreamResult:
    columns = tuple((name, sql_type) for name, sql_type in stored["columns"])
    rows = [tuple(row) for row in stored["rows"]]
    return StreamResult(**stored | {"columns": columns, "rows": rows, "sinks": tuple(stored["sinks"])})


def _alarm_fields(record: AlarmRecord) -> dict[str, Any]:
    # JSON has neither NaN nor infinities, so floats travel as text.
    floats = {name: repr(float(getattr(record, name))) for name in ("peak_score", "value", "expected")}
    return asdict(record) | floats


def _alarm(stored: dict[str, Any]) -> AlarmRecord:
    floats = {name: float(stored[name]) for name in ("peak_score", "value", "expected")}
    return AlarmRecord(**stored | floats | {"state": AlarmState(stored["state"])})
