from __future__ import annotations

import pytest

from devices.codec import Decoded
from devices.codecs.influx_line import InfluxLineCodec, InfluxLineParameters
from devices.codecs.readings import Rows
from devices.messages import MessageChunk, Payloads
from devices.rejection_reasons import Reason
from ingest import careful_decode


class FaultyCodec(InfluxLineCodec):
    """Line protocol with a fault: it raises at a payload that begins with "boom", and lacks memory at "large"."""

    def decode_one(self, message: int, payload: bytes, rows: Rows) -> None:
        if payload.startswith(b"boom"):
            raise IndexError("list index out of range")
        if payload == b"large":
            raise MemoryError
        super().decode_one(message, payload, rows)


def payloads(*texts: bytes) -> Payloads:
    return MessageChunk.of([(b"t", text, 1, 0) for text in texts]).payloads()


def values(codec: InfluxLineCodec, decoded: Decoded) -> list[tuple[int, str, float]]:
    return [
        (message, str(codec.metrics[metric]), value)
        for message, metric, value in zip(
            decoded.message.tolist(), decoded.metric.tolist(), decoded.value.tolist(), strict=True
        )
    ]


def test_a_message_at_which_a_codec_fails_is_refused_alone(caplog: pytest.LogCaptureFixture) -> None:
    codec = FaultyCodec(InfluxLineParameters())
    decoded = careful_decode.decode(codec, payloads(b"a v=1", b"boom", b"b v=2,w=3", b"no line", b"c v=4"))
    assert values(codec, decoded) == [(0, "a.v", 1.0), (2, "b.v", 2.0), (2, "b.w", 3.0), (4, "c.v", 4.0)]
    assert [(each.message, each.reason, each.whole) for each in decoded.rejected] == [
        (1, Reason.MALFORMED, True),
        (3, Reason.MALFORMED, True),
    ]
    assert decoded.rejected[0].detail == (
        "codec influx_line failed, which is a fault of the codec: IndexError: list index out of range"
    )
    assert decoded.rejected[1].detail.startswith("line 1: ")
    assert "codec influx_line raised: the messages are decoded one by one" in caplog.text


def test_a_codec_that_does_not_fail_decodes_all_at_once(caplog: pytest.LogCaptureFixture) -> None:
    codec = FaultyCodec(InfluxLineParameters())
    decoded = careful_decode.decode(codec, payloads(b"a v=1", b"a v=2"))
    assert values(codec, decoded) == [(0, "a.v", 1.0), (1, "a.v", 2.0)]
    assert caplog.text == ""


def test_too_little_memory_is_no_fault_of_a_message() -> None:
    with pytest.raises(MemoryError):
        careful_decode.decode(FaultyCodec(InfluxLineParameters()), payloads(b"large"))
