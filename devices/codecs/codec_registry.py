"""Decode: every codec that there is, by the name that the configuration uses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.suggestions import unknown
from devices.codec import Codec
from devices.codecs.auto import AutoCodec
from devices.codecs.availability import AvailabilityCodec
from devices.codecs.binary import CborCodec, MsgpackCodec
from devices.codecs.influx_line import InfluxLineCodec
from devices.codecs.json_payload import JsonCodec
from devices.codecs.packed import PackedCodec
from devices.codecs.plain import PlainCodec
from devices.codecs.senml import SenmlCodec
from devices.codecs.sparkplug import SparkplugCodec

CODECS: tuple[type[Codec], ...] = (
    AutoCodec,
    AvailabilityCodec,
    CborCodec,
    InfluxLineCodec,
    JsonCodec,
    MsgpackCodec,
    PackedCodec,
    PlainCodec,
    SenmlCodec,
    SparkplugCodec,
)


def index(codecs: tuple[type[Codec], ...]) -> dict[str, type[Codec]]:
    """The codecs by name. Raises ValueError where two share a name."""
    by_name: dict[str, type[Codec]] = {}
    for codec in codecs:
        if codec.name in by_name:
            raise ValueError(f"two codecs are named {codec.name!r}: {by_name[codec.name].__name__}, {codec.__name__}")
        by_name[codec.name] = codec
    return by_name


_BY_NAME = index(CODECS)


def codec_names() -> list[str]:
    """The names of all codecs, in order of the alphabet."""
    return sorted(_BY_NAME)


def find(type_name: str) -> type[Codec]:
    """The codec class of a name. Raises ValueError naming the nearest and all known names."""
    codec = _BY_NAME.get(type_name)
    if codec is None:
        raise ValueError(unknown(type_name, _BY_NAME, "codec"))
    return codec


def create(type_name: str, parameters: Mapping[str, Any] | None = None) -> Codec:
    """A new codec of a name with its parameters.

    Raises ValueError for an unknown name, and pydantic's ValidationError (a ValueError) for parameters that do not fit.
    """
    codec = find(type_name)
    return codec(codec.Parameters(**(parameters or {})))  # type: ignore[call-arg]
