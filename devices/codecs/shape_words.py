"""Decode: the words by which `devices.codecs.shapes` knows a shape, in lower case."""

from __future__ import annotations

import re

CONTAINERS = frozenset(
    re.findall(
        r"\S+",
        """
    values vals data metrics readings measurements items tags points sensors records rows payload fields object
    objectjson message msg body value json d params telemetry results list series variables signals channels params
    """,
    )
)
"""Names of parts that only hold others: they are no part of a metric's name where the parts inside have their own."""

BESIDE_VALUE = frozenset(
    re.findall(
        r"\S+",
        """
    q quality qc ack lc from user context status t ts time timestamp datetime date unit u uom units unit_of_measurement
    desc description type tags label datatype valid metadata displayname title source st et sourcetimestamp
    servertimestamp statuscode
    """,
    )
)
"""What may stand beside a value that is alone: its time, unit, quality and description."""

DATA_TYPES = frozenset(
    re.findall(
        r"\S+",
        """
    float float32 float64 double real lreal int int16 int32 int64 integer uint uint16 uint32 uint64 word dword bool
    boolean string text number numeric decimal object value data telemetry measurement reading sensor event update
    change state status report message analog digital gauge counter
    """,
    )
)
"""What `type` says where it does not name what is measured."""
