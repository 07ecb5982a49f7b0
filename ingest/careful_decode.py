"""Decode, its last guard: a codec that fails at a payload costs that message alone, and never the service."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from devices.codec import Codec, Decoded, Rejected
from devices.messages import Payloads
from devices.rejection_reasons import Reason

log = logging.getLogger(__name__)


def decode(codec: Codec, payloads: Payloads) -> Decoded:
    """What the codec reads of all payloads. Where it raises, of each alone: a message at which it raises is refused.

    A codec does not raise by its contract. One with a fault would else end the engine at every start, since the message
    stays in the journal.
    """
    try:
        return codec.decode(payloads)
    except MemoryError:
        raise
    except Exception:
        log.exception(
            "codec %s raised: the messages are decoded one by one, and those that it fails at are refused", codec.name
        )
    return _joined([_decode_one(codec, payloads, number) for number in range(len(payloads))])


def _decode_one(codec: Codec, payloads: Payloads, number: int) -> Decoded:
    try:
        return codec.decode(payloads.take(np.array([number], np.intp)))
    except MemoryError:
        raise
    except Exception as error:
        detail = f"codec {codec.name} failed, which is a fault of the codec: {type(error).__name__}: {error}"
        return _refused(Rejected(0, Reason.MALFORMED, detail[:500], whole=True))


def _refused(rejected: Rejected) -> Decoded:
    none = np.empty(0, np.int32)
    return Decoded(none, none, none, np.empty(0, np.int64), np.empty(0, np.float64), [rejected])


def _joined(parts: Sequence[Decoded]) -> Decoded:
    """The readings of messages 0, 1, ..., each decoded alone."""
    return Decoded(
        np.concatenate([np.full(len(part.message), number, np.int32) for number, part in enumerate(parts)]),
        np.concatenate([part.metric for part in parts]),
        np.concatenate([part.device for part in parts]),
        np.concatenate([part.time for part in parts]),
        np.concatenate([part.value for part in parts]),
        [replace(each, message=number) for number, part in enumerate(parts) for each in part.rejected],
        [replace(each, message=number) for number, part in enumerate(parts) for each in part.notes],
    )
