"""Decode, what a text payload is by its looks: log lines, `key=value` pairs, CSV with a time, line protocol."""

from __future__ import annotations

import re
from contextlib import suppress
from functools import partial
from urllib.parse import parse_qsl

from devices.numbers import NO_VALUE_WORDS, text_to_number
from devices.times import BadTimeError, parse_time

_LOG = re.compile(
    r"\x1b\[|\[(?:DEBUG|INFO|WARN|WARNING|ERROR|TRACE|FATAL|NOTICE)\]|\[[DIWEVC]\]\[|(?:\d\d:\d\d:\d\d(?:\.\d+)?\s+)?(?:DBG|INF|WRN|ERR|MQT|RSL|DEBUG|INFO|WARN|WARNING|ERROR|"
    r"TRACE|FATAL|NOTICE)\b\s*[:\]\s(-]",
)
_LINE_PROTOCOL = re.compile(
    r"[^\s,={}\[\]\"':;]+(?:,[^\s,=]+=(?:[^\s,=\\]|\\.)+)*[ ]+[^\s,=]+=(?:\"(?:[^\"\\]|\\.)*\"|[^\s,]+)"
    r"(?:,[^\s,=]+=(?:\"(?:[^\"\\]|\\.)*\"|[^\s,]+))*(?:[ ]+-?\d{9,19})?[ ]*"
)
_PAIR = re.compile(
    r"\s*([A-Za-z_][\w.\-/ ]{0,63}?)\s*[=:]\s*([^\s,;=:]+(?:[ ][^\s,;=:\d]{1,6}(?=[,;]|$))?)\s*(?:[,;&|]|\s|$)"
)
_MOST_PAIRS = 256
_DECIMAL_COMMA = re.compile(r"(?<=\d),(?=\d)", re.ASCII)
_COLLECTD = re.compile(r"\d{9,10}\.\d{3}(?::(?:U|[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)){1,64}", re.ASCII | re.IGNORECASE)


def is_log_line(text: str) -> bool:
    """Whether the text is a line of a device's log: coloured, or with a level in front as firmware writes it."""
    return _LOG.match(text) is not None


def is_line_protocol(text: str) -> bool:
    """Whether every line of the text is InfluxDB line protocol with a measurement and at least one field."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return bool(lines) and all(
        len(line) <= 4096 and "=" in line and _LINE_PROTOCOL.fullmatch(line.strip()) for line in lines
    )


def key_value_pairs(text: str) -> list[tuple[str, str]] | None:
    """The pairs of `temp=21.5 hum=40`, `temp: 21.5, hum: 40`, `temp=21.5&hum=40`; None where it is not that alone.

    Between semicolons a comma is a decimal comma. At least one value must be a number.
    """
    if len(text) > 4096:
        return None
    if (query := _query(text)) is not None:
        return query
    if ";" in text:
        text = _DECIMAL_COMMA.sub(".", text)
    pairs: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        found = _PAIR.match(text, at)
        if found is None or len(pairs) >= _MOST_PAIRS:
            return None
        pairs.append((found[1].strip(), found[2].strip()))
        at = found.end()
    numbers = [value for _, value in pairs if text_to_number(value) is not None]
    return pairs if pairs and numbers else None


def _query(text: str) -> list[tuple[str, str]] | None:
    """The pairs of `temp=21.5&hum=40`, as web forms are sent; None where the text is not that alone."""
    if "&" not in text or " " in text:
        return None
    try:
        pairs = parse_qsl(text, strict_parsing=True, max_num_fields=_MOST_PAIRS)
    except ValueError:
        return None
    return pairs if any(text_to_number(value) is not None for _, value in pairs) else None


def collectd_sample(text: str) -> tuple[int, list[str]] | None:
    """The time (ns) and values of `1784800890.123:95.3:U`, as collectd writes them; None where it is none."""
    if _COLLECTD.fullmatch(text) is None:
        return None
    time, *values = text.split(":")
    return parse_time(time), ["nan" if value == "U" else value for value in values]


def time_and_values(text: str) -> tuple[int, list[str]] | None:
    """The time (ns) and values of `2026-07-23T10:00:00Z,21.5,40`; None where the first member is no time."""
    separator = next((each for each in (";", "\t", ",") if each in text), None)
    if separator is None:
        return None
    first, *rest = (member.strip() for member in text.split(separator))
    if (
        len(first) < 10
        or not first[0].isdigit()
        or (first.replace(".", "", 1).isdigit() and not 1e9 <= float(first) < 1e19)
    ):
        return None
    if not all(member.casefold() in NO_VALUE_WORDS or text_to_number(member) is not None for member in rest):
        return None
    try:
        return parse_time(first), rest
    except BadTimeError:
        return None


def table(text: str) -> list[dict[str, str]] | None:
    """The rows of CSV whose first line names the columns; None where the text is not that."""
    head, *lines = [line for line in text.strip().splitlines() if line.strip()]
    separator = next((each for each in (";", "\t", ",") if each in head), None)
    if separator is None or not lines or len(text) > 65_536:
        return None
    names = [name.strip().strip('"') for name in head.split(separator)]
    rows = [[cell.strip().strip('"') for cell in line.split(separator)] for line in lines]
    if len(set(names)) < len(names) or any(len(row) != len(names) for row in rows):
        return None
    if not all(name and text_to_number(name) is None for name in names):
        return None
    if any(all(text_to_number(cell) is None for cell in row) for row in rows):
        return None
    return [dict(zip(names, row, strict=True)) for row in rows]


def looks_like(payload: bytes) -> str:
    """What a payload that is no text may be, with the setting that reads it, as the end of a sentence."""
    import cbor2  # noqa: PLC0415  only where something is wrong
    import msgpack  # noqa: PLC0415

    for name, codec, read in (
        ("CBOR", "cbor", cbor2.loads),
        ("MessagePack", "msgpack", partial(msgpack.unpackb, strict_map_key=False)),
    ):
        # What these libraries raise for bytes of another kind is not listed anywhere: any of it says "not this".
        with suppress(Exception):
            if isinstance(read(payload), (dict, list)):
                return f'it looks like {name}, which codec = "{codec}" reads'
    if len(payload) >= 4 and payload[0] == 0x08 and (b"\x12" in payload or b"\x18" in payload):
        return 'it looks like protobuf; Sparkplug B is read by codec = "sparkplug" on topics that begin with spBv1.0/'
    return (
        f"it looks like {len(payload)} bytes of packed numbers, which codec = "
        '{ type = "packed", format = "<f", names = ["temperature"] } reads, with the format of Python\'s struct'
    )
