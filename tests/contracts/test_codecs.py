"""What every codec must do, over the whole registry."""

from __future__ import annotations

from pathlib import Path

import cbor2
import msgpack
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import devices.codecs
from devices.codec import Codec, Decoded
from devices.codecs.codec_registry import CODECS, codec_names, create, find, index
from devices.messages import MessageChunk, Payloads
from devices.vectors import Vector, decode_alone, load_vectors, named_readings

VECTORS = Path(devices.codecs.__file__).parent / "vectors"
EVERY = [(name, vector) for name in codec_names() for vector in load_vectors(VECTORS / f"{name}.toml")]
NAMES = pytest.mark.parametrize("name", codec_names())


def payloads_of(items: list[bytes]) -> Payloads:
    return MessageChunk.of([(b"t", item, i + 1, 0) for i, item in enumerate(items)]).payloads()


def rows_of(codec: Codec, decoded: Decoded) -> list[tuple[object, ...]]:
    return [
        (int(message), *vars_of)
        for message, vars_of in zip(
            decoded.message,
            ((r.device, r.metric, r.time, r.value) for r in named_readings(codec, decoded)),
            strict=True,
        )
    ]


def check_promises(codec: Codec, items: list[bytes]) -> Decoded:
    """Decode, and hold what the contract promises of any payloads at all."""
    metrics, names = list(codec.metrics), list(codec.devices)
    decoded = codec.decode(payloads_of(items))
    assert codec.metrics[: len(metrics)] == metrics
    assert codec.devices[: len(names)] == names
    n = len(decoded.message)
    assert [len(c) for c in (decoded.metric, decoded.device, decoded.time, decoded.value)] == [n] * 4
    assert [c.dtype for c in (decoded.message, decoded.metric, decoded.device, decoded.time, decoded.value)] == [
        np.int32,
        np.int32,
        np.int32,
        np.int64,
        np.float64,
    ]
    assert np.all(np.diff(decoded.message) >= 0)
    assert np.all(np.isfinite(decoded.value))
    assert np.all((decoded.metric >= 0) & (decoded.metric < len(codec.metrics)))
    assert np.all((decoded.device >= -1) & (decoded.device < len(codec.devices)))
    named = {rejected.message for rejected in decoded.rejected}
    assert set(decoded.message.tolist()) | named == set(range(len(items)))
    whole = {rejected.message for rejected in decoded.rejected if rejected.whole}
    assert not whole & set(decoded.message.tolist())
    assert all(rejected.detail for rejected in decoded.rejected)
    return decoded


@pytest.mark.parametrize(("name", "vector"), EVERY, ids=[f"{name}: {vector.name}" for name, vector in EVERY])
def test_vector(name: str, vector: Vector) -> None:
    codec = create(name, vector.parameters)
    for _ in range(2):
        decoded = decode_alone(codec, vector.data, vector.topic)
        assert named_readings(codec, decoded) == list(vector.readings)
        assert [(r.reason, r.whole) for r in decoded.rejected] == [(e.reason, e.whole) for e in vector.rejected]
        for rejected, expected in zip(decoded.rejected, vector.rejected, strict=True):
            assert expected.detail in rejected.detail


@NAMES
def test_vectors_hold_a_good_and_a_bad_case(name: str) -> None:
    vectors = load_vectors(VECTORS / f"{name}.toml")
    assert any(vector.readings and not vector.rejected for vector in vectors)
    assert any(vector.rejected and not vector.readings for vector in vectors)


@NAMES
def test_truncation_anywhere_is_accounted_for(name: str) -> None:
    for vector in load_vectors(VECTORS / f"{name}.toml"):
        codec = create(name, vector.parameters)
        check_promises(codec, [vector.data[:end] for end in range(len(vector.data) + 1)])


@NAMES
def test_a_batch_reads_as_its_payloads_one_by_one(name: str) -> None:
    items = [vector.data for vector in load_vectors(VECTORS / f"{name}.toml")] * 3
    batch, single = create(name, {}), create(name, {})
    decoded = check_promises(batch, items)
    one_by_one = []
    for i, item in enumerate(items):
        alone = decode_alone(single, item, arrival=i + 1)
        one_by_one += [(i, *row[1:]) for row in rows_of(single, alone)]
    assert rows_of(batch, decoded) == one_by_one
    assert rows_of(batch, batch.decode(payloads_of(items))) == one_by_one


@NAMES
def test_no_payloads_give_no_readings(name: str) -> None:
    decoded = check_promises(create(name, {}), [])
    assert not decoded.rejected


@NAMES
def test_bombs_are_refused(name: str) -> None:
    bombs = [
        b"[" * 100_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b"9" * 100_000,
        b'{"a":' + b"9" * 100_000 + b"}",
        b'{"a":1e' + b"9" * 1_000 + b"}",
        b'{"time":' + b"9" * 1_000 + b',"a":1}',
        b"\\" * 50_000,
        b'"' * 50_001,
        b"m,a=" + b"\\," * 30_000,
        b'm a="' + b"\\" * 50_001,
        b" " * 50_000,
        b"\x81" * 100_000,
        b"\x91" * 100_000,
        b"\xc2\x5a\x00\x01\x86\xa0" + b"\xff" * 100_000,
        cbor2.dumps({"time": 2**5000, "a": 2**5000}),
        cbor2.dumps({2**90000: 1, (1, 2): 2, 1.5: 3}),
        msgpack.packb({b"x": 1, 2.5: 2}),
        b"\xff" * 1_000,
        b'{"a":"' + b"1" * 100_000 + b'"}',
        b'{"' + b"a" * 100_000 + b'":1}',
    ]
    check_promises(create(name, {}), bombs)


@NAMES
def test_names_stop_at_the_limit(name: str) -> None:
    codec = create(name, {"max_names": 1})
    check_promises(codec, [vector.data for vector in load_vectors(VECTORS / f"{name}.toml")])
    assert len(codec.metrics) <= 1
    assert len(codec.devices) <= 1


TREES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4) | st.integers(0, 9), inner, max_size=4)
    ),
    max_leaves=8,
)
ANYTHING = st.one_of(
    st.binary(max_size=60),
    st.text(max_size=30).map(lambda text: text.encode("utf-8", "replace")),
    st.text('{}[]":,.0123456789eE+-tfnN= \\\n', max_size=30).map(str.encode),
    TREES.map(cbor2.dumps),
    TREES.map(msgpack.packb),
    st.sampled_from([vector.data for _, vector in EVERY]),
)


@NAMES
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(items=st.lists(ANYTHING, max_size=6))
def test_anything_is_accounted_for_and_repeats(name: str, items: list[bytes]) -> None:
    codec = create(name, {})
    first = check_promises(codec, items)
    again = check_promises(codec, items)
    assert rows_of(codec, first) == rows_of(codec, again)
    assert first.rejected == again.rejected


def test_unknown_codec_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ValueError, match=r'unknown codec "jsno"; did you mean "json"\? \(known: auto, .*sparkplug\)'):
        find("jsno")


def test_two_codecs_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two codecs are named"):
        index((*CODECS, CODECS[0]))


@NAMES
def test_unknown_parameter_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no_such"):
        create(name, {"no_such": 1})
