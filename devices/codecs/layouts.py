"""Decode, the fast path of JSON: learn the layouts that devices repeat, and read such payloads compiled.

A layout is learned by reading a payload the general way with every leaf marked, and looking where the marks end up;
so there is one statement of the rules, in `devices.codecs.tree`. What a layout cannot hold (null, escapes that
change, a key twice) is never learned. Layouts are a cache: they change
how fast a payload is read, never what it reads as.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import orjson
from numpy.typing import NDArray

from devices.batch import NO_TIME
from devices.codec import Decoded, Note, Rejected, Role
from devices.codecs.kernels import (
    LITERAL,
    Layouts,
    read_layouts,
    rules_of,
)
from devices.codecs.layout_learning import Learner, MarkedNumber, Marker, UnlearnableError
from devices.codecs.readings import Rows, TooManyNamesError
from devices.codecs.tree import TreeReader
from devices.codecs.tree_fields import names_of
from devices.codecs.tree_parameters import PLAUSIBLE_TIME
from devices.messages import Payloads
from devices.numbers import LONGEST_STATE, is_state
from devices.times import SCALES

MOST_LAYOUTS = 64
"""Layouts kept at a time; the one that reads the fewest payloads gives way."""

LONGEST_PAYLOAD = 16_384
"""Longest payload, in bytes, that a layout is learned from."""

MOST_PATIENCE = 4_096
"""Most payloads left to the general path between two attempts to learn that came to nothing."""

_NO_STATE = -1


@dataclass(slots=True)
class _Layout:
    operations: list[tuple[int, bytes, int, int]]
    outputs: list[tuple[int, int, float, int, int]]
    slots: int


class LayoutReader:
    """Reads payloads of learned layouts, and learns from those that it could not read."""

    def __init__(self, reader: TreeReader) -> None:
        self._reader = reader
        self._learner = Learner(reader)
        parameters = reader.parameters
        row = (parameters.metric, parameters.value) if parameters.metric else ()
        devices = [
            name
            for field in reader.device_fields
            for path in names_of(field)
            for name in (path, path.rpartition(".")[2])
        ]
        self._named = frozenset((*row, *devices))
        self._rules = rules_of(
            scale=SCALES.get(parameters.time_unit, 0),
            zoneless=parameters.time_zone == "UTC",
            plausible=PLAUSIBLE_TIME,
            errors=parameters.error_values,
        )
        self._layouts: list[_Layout] = []
        self._hits = np.zeros(0, np.int64)
        self._flat = _flatten([])
        self._slots = 0
        self._outputs = 0
        self._patience = 0
        self._waited = 0
        self._learned = 0
        self._devices: dict[bytes, int] = {}
        self._words: dict[bytes, int] = {}

    def decode(self, payloads: Payloads, decode_one: Callable[[int, bytes, Rows, int | None], bool]) -> Decoded:
        """Decode payloads of known layouts compiled and the others by `decode_one`, learning from those.

        `decode_one` adds the readings of one payload to the rows, and says whether to consider it as a layout. Early
        payloads teach later ones of the same call, so that a large first call is not slow as a whole.
        """
        decoded, pending = self.read(payloads)
        if not len(pending):
            return decoded
        rows = Rows()
        parts = [decoded]
        head = 8
        while len(pending):
            known = self._learned
            for i in pending[:head].tolist():
                payload = payloads[i]
                if decode_one(i, payload, rows, payloads.arrival_of(i)):
                    self.learn(payload)
            pending = pending[head:]
            head *= 2
            if self._learned > known and len(pending):
                part, unread = self.read(payloads.take(pending))
                part.message[:] = pending[part.message]
                parts.append(part)
                pending = pending[unread]
        slow = rows.decoded()
        return _merged([*parts, slow], slow.rejected, slow.notes)

    def read(self, payloads: Payloads) -> tuple[Decoded, NDArray[np.intp]]:
        """The readings of all payloads of known layouts, and the indices of the payloads that are of none."""
        n = len(payloads)
        if not self._layouts or not payloads.data:
            return Rows().decoded(), np.arange(n)
        start, end = np.ascontiguousarray(payloads.start), np.ascontiguousarray(payloads.end)
        # A reading takes two bytes of payload at least, so a layout of many readings does not make the columns huge.
        most = min(n * self._outputs, int((end.astype(np.int64) - start).sum()) // 2 + self._outputs + n)
        message, metric, device = np.empty(most, np.int32), np.empty(most, np.int32), np.empty(most, np.int32)
        time, value = np.empty(most, np.int64), np.empty(most)
        spans = np.empty((most, 2), np.int32)
        unread = np.empty(n, np.intp)
        rows, devices, left = read_layouts(
            np.frombuffer(payloads.data, np.uint8), start, end, self._flat, self._slots, self._rules, NO_TIME,
            message, metric, device, time, value, spans, unread, self._hits,
        )  # fmt: skip
        decoded = Decoded(message[:rows], metric[:rows], device[:rows], time[:rows], value[:rows])
        unread = unread[:left]
        if devices:
            decoded, unread = self._name_devices(payloads.data, decoded, spans[:devices], unread)
        if self._reader.metrics.has_roles and rows:
            decoded, unread = self._name_states(payloads.data, decoded, unread)
        return decoded, unread

    def _name_states(self, data: bytes, decoded: Decoded, unread: NDArray[np.intp]) -> tuple[Decoded, NDArray[np.intp]]:
        """Put codes for the places of states. Prose is left out; payloads that hold nothing else are left unread."""
        names, known = self._reader.metrics.items, self._words
        is_text = np.array([name.role == Role.TEXT for name in names], np.bool_)[decoded.metric]
        places = np.flatnonzero(is_text)
        if not len(places):
            return decoded, unread
        drop, over = [], set()
        for row, place in zip(places.tolist(), decoded.value[places].astype(np.int64).tolist(), strict=True):
            start, length = divmod(place, 128)
            text = data[start : start + length]
            code = known.get(text, _NO_STATE) if length <= LONGEST_STATE else _NO_STATE
            if code == _NO_STATE and length <= LONGEST_STATE and is_state(text.decode("ascii")):
                try:
                    code = known[text] = self._reader.words.code(text.decode("ascii"))
                except TooManyNamesError:
                    over.add(int(decoded.message[row]))
            decoded.value[row] = code
            if code == _NO_STATE:
                drop.append(row)
        if not drop:
            return decoded, unread
        keep = np.ones(len(decoded.message), np.bool_)
        keep[drop] = False
        left = {*over, *(set(decoded.message[drop].tolist()) - set(decoded.message[keep].tolist()))}
        if over:
            keep &= ~np.isin(decoded.message, list(over))
        kept = decoded.take(keep)
        return kept, np.union1d(unread, np.array(sorted(left), np.intp))

    def _name_devices(
        self, data: bytes, decoded: Decoded, spans: NDArray[np.int32], unread: NDArray[np.intp]
    ) -> tuple[Decoded, NDArray[np.intp]]:
        """Put device codes for spans; payloads whose device finds no room are left to the general path."""
        known = self._devices
        codes = np.empty(len(spans) + 1, np.int32)
        codes[-1] = -1
        for i, (a, b) in enumerate(spans.tolist()):
            name = data[a:b]
            code = known.get(name)
            if code is None:
                try:
                    code = known[name] = self._reader.devices.code(name.decode("ascii"))
                except TooManyNamesError:
                    code = -2
            codes[i] = code
        device = codes[decoded.device]
        full = device == -2
        named = Decoded(decoded.message, decoded.metric, device, decoded.time, decoded.value)
        if not full.any():
            return named, unread
        over = np.unique(decoded.message[full])
        keep = ~np.isin(decoded.message, over)
        kept = named.take(keep)
        return kept, np.union1d(unread, over)

    def learn(self, payload: bytes) -> None:
        """Consider a payload that was of no known layout. Most calls do nothing where nothing is to be learned."""
        self._waited += 1
        if self._waited <= self._patience:
            return
        self._waited = 0
        layout = self._layout_of(payload)
        if layout is None:
            self._patience = min(2 * self._patience + 1, MOST_PATIENCE)
            return
        if len(self._layouts) < MOST_LAYOUTS:
            self._patience = 0
            self._layouts.append(layout)
            self._hits = np.append(self._hits, 0)
        else:
            least = int(self._hits.argmin())
            self._patience = (
                min(2 * self._patience + 1, MOST_PATIENCE) if self._hits[least] == 0 else self._patience // 2
            )
            self._layouts[least] = layout
            self._hits //= 2
            self._hits[least] = 0
        self._learned += 1
        self._flat = _flatten(self._layouts)
        self._slots = max(each.slots for each in self._layouts)
        self._outputs = max(len(each.outputs) for each in self._layouts)

    def _layout_of(self, payload: bytes) -> _Layout | None:
        if len(payload) > LONGEST_PAYLOAD:
            return None
        rows = Rows()
        try:
            orjson.loads(payload)
            marker = Marker(payload, self._named)
            self._learner.leaves, self._learner.steady = marker.leaves, set()
            self._learner.read(0, marker.root, len(payload), rows)
        except (orjson.JSONDecodeError, UnlearnableError, TooManyNamesError):
            return None
        if rows.rejected or rows.notes:
            return None
        slots = [leaf for leaf in marker.leaves if leaf.kind != LITERAL]
        places = {id(leaf): i for i, leaf in enumerate(slots)}
        operations: list[tuple[int, bytes, int, int]] = []
        at = 0
        for i, leaf in enumerate(slots):
            operations.append((LITERAL, payload[at : leaf.start], 0, 0))
            operations.append((leaf.kind, b"", i, leaf.demand))
            at = leaf.end
        operations.append((LITERAL, payload[at:], 0, 0))

        def place(leaf: int, *, none: int) -> int:
            return -1 if leaf == none else places[id(marker.leaves[leaf])]

        outputs = []
        for metric, device, time, value in zip(rows.metric, rows.device, rows.time, rows.value, strict=True):
            slot = places[id(marker.leaves[value.leaf])] if isinstance(value, MarkedNumber) else -1
            constant = 0.0 if slot >= 0 else float(value)
            outputs.append((metric, slot, constant, place(time, none=NO_TIME), place(device, none=-1)))
        return _Layout(operations, outputs, len(slots))


def _merged(parts: list[Decoded], rejected: list[Rejected], notes: list[Note]) -> Decoded:
    """The rows of all parts in order of message; the rows of one message come from one part."""
    parts = [part for part in parts if len(part.message)]
    if len(parts) < 2:
        only = parts[0] if parts else Rows().decoded()
        return replace(only, rejected=rejected, notes=notes)
    message = np.concatenate([part.message for part in parts])
    order = np.argsort(message, kind="stable")
    return Decoded(
        message[order],
        np.concatenate([part.metric for part in parts])[order],
        np.concatenate([part.device for part in parts])[order],
        np.concatenate([part.time for part in parts])[order],
        np.concatenate([part.value for part in parts])[order],
        rejected,
        notes,
    )


def _flatten(layouts: list[_Layout]) -> Layouts:
    literals = bytearray()
    kind: list[int] = []
    start: list[int] = []
    end: list[int] = []
    for layout in layouts:
        for operation, literal, slot, demand in layout.operations:
            kind.append(operation)
            start.append(len(literals) if operation == LITERAL else slot)
            literals += literal
            end.append(len(literals) if operation == LITERAL else demand)
    outputs = [output for layout in layouts for output in layout.outputs]
    metric, slot_of, constant, time_slot, device_slot = zip(*outputs, strict=True) if outputs else ((),) * 5
    return Layouts(
        np.cumsum([0] + [len(layout.operations) for layout in layouts]).astype(np.int32),
        np.array(kind, np.int8),
        np.array(start, np.int32),
        np.array(end, np.int32),
        np.frombuffer(bytes(literals), np.uint8).copy(),
        np.cumsum([0] + [len(layout.outputs) for layout in layouts]).astype(np.int32),
        np.array(metric, np.int32),
        np.array(slot_of, np.int32),
        np.array(constant, np.float64),
        np.array(time_slot, np.int32),
        np.array(device_slot, np.int32),
    )
