"""Score: the detectors by the name that the configuration uses. A new one is one line in a tuple."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from common.suggestions import unknown
from detectors.adwin import Adwin
from detectors.channels.angle import Angle
from detectors.channels.counter_rate import CounterRate
from detectors.channels.error_codes import ErrorCodes
from detectors.channels.noise_level import NoiseLevel
from detectors.channels.slow_drift import SlowDrift
from detectors.channels.special_signals import SpecialSignals
from detectors.channels.state_dwell import StateDwell
from detectors.channels.stuck import Stuck
from detectors.cusum import Cusum
from detectors.detector import BaseDetector, Detector
from detectors.ensemble import Ensemble
from detectors.forecast import Forecast
from detectors.forest import HalfSpaceTrees
from detectors.holt_winters import HoltWinters
from detectors.level import Level
from detectors.limits import RateOfChange, Threshold
from detectors.multivariate.correlation import CorrelationBreak
from detectors.multivariate.joint import Joint
from detectors.multivariate.mahalanobis import Mahalanobis
from detectors.multivariate.mewma import Mewma
from detectors.multivariate.pca import PrincipalComponents
from detectors.multivariate.row_detector import RowDetector
from detectors.novelty import Novelty
from detectors.page_hinkley import PageHinkley
from detectors.physical_range import PhysicalRange
from detectors.rarity import Rarity
from detectors.river_model import River
from detectors.seasonal import Seasonal
from detectors.shape import Shape
from detectors.silent import Silent
from detectors.user_file import UserFile
from detectors.variance_change import VarianceChange
from detectors.zscore import ZScore

DETECTORS: tuple[type[Detector], ...] = (
    Ensemble,
    Novelty,
    Rarity,
    Level,
    Forecast,
    Shape,
    HalfSpaceTrees,
    ZScore,
    HoltWinters,
    Seasonal,
    Threshold,
    RateOfChange,
    Adwin,
    Cusum,
    PageHinkley,
    PhysicalRange,
    Silent,
    Stuck,
    SpecialSignals,
    StateDwell,
    CounterRate,
    ErrorCodes,
    NoiseLevel,
    SlowDrift,
    Angle,
    VarianceChange,
    River,
    UserFile,
)

ROW_DETECTORS: tuple[type[RowDetector], ...] = (Joint, PrincipalComponents, Mahalanobis, Mewma, CorrelationBreak)
"""Those that score a device's metrics together, a row at a time."""


class UnknownDetectorError(ValueError):
    """A `type` that no detector has; the message gives the nearest name and all names."""


def by_name(detectors: Iterable[type[BaseDetector]]) -> dict[str, type[BaseDetector]]:
    """The classes by name. Raises ValueError where two have the same."""
    names: dict[str, type[BaseDetector]] = {}
    for detector in detectors:
        if detector.name in names:
            raise ValueError(f"detector name {detector.name!r} is taken by {names[detector.name]} and {detector}")
        names[detector.name] = detector
    return names


_NAMES = by_name((*DETECTORS, *ROW_DETECTORS))


def find(type_name: str) -> type[BaseDetector]:
    """The detector class of this name. Raises UnknownDetectorError with the nearest name."""
    if type_name not in _NAMES:
        raise UnknownDetectorError(unknown(type_name, _NAMES, "detector"))
    return _NAMES[type_name]


def scores_rows(type_name: str) -> bool:
    """Whether the detector of this name scores a device's metrics together. Raises UnknownDetectorError."""
    return issubclass(find(type_name), RowDetector)


def create(type_name: str, parameters: Mapping[str, object]) -> Detector:
    """A fresh detector of single series, with room for no slot yet.

    Raises UnknownDetectorError for a name that is not registered, ValueError for one that scores rows, pydantic's
    ValidationError for parameters that do not fit.
    """
    detector = find(type_name)
    if not issubclass(detector, Detector):
        raise ValueError(f"detector {type_name!r} scores a device's rows: expected one of single series")
    return detector(detector.Parameters.model_validate(dict(parameters)))


def create_multivariate(type_name: str, parameters: Mapping[str, object]) -> RowDetector:
    """A fresh detector of devices' rows, with room for no slot yet. Raises as `create` does."""
    detector = find(type_name)
    if not issubclass(detector, RowDetector):
        raise ValueError(f"detector {type_name!r} scores single series: expected one of a device's rows")
    return detector(detector.Parameters.model_validate(dict(parameters)))


def create_either(type_name: str, parameters: Mapping[str, object]) -> BaseDetector:
    """A fresh detector of whichever kind the name is, for what both kinds share. Raises as `create` does."""
    return (create_multivariate if scores_rows(type_name) else create)(type_name, parameters)
