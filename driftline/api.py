"""What code of your own may import: the contracts of detectors and codecs, and what helps to fulfil them.

A file that the configuration names (docs/own-detector.md) imports from here and from nowhere else in the project: these
names stay where the rooms behind them are moved, in a checkout as in an installed package. They follow the version's
number: none is removed without a version in which it still works and says so.
"""

from __future__ import annotations

from common.compiled import njit
from common.durations import Duration, format_duration, parse_duration
from detectors.detector import MAX_SCORE, Detector, Scores, State
from detectors.fleet_detector import Column, FleetDetector, Inputs, empty_scores, take_inputs
from devices.codec import UNNAMED, Codec, Decoded, Rejected
from devices.messages import Payloads
from devices.rejection_reasons import Reason

__all__ = [
    "MAX_SCORE",
    "UNNAMED",
    "Codec",
    "Column",
    "Decoded",
    "Detector",
    "Duration",
    "FleetDetector",
    "Inputs",
    "Payloads",
    "Reason",
    "Rejected",
    "Scores",
    "State",
    "empty_scores",
    "format_duration",
    "njit",
    "parse_duration",
    "take_inputs",
]
