"""Score: what cannot be: readings outside the range that physics, or the sensor, gives their unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from common.suggestions import did_you_mean
from detectors.limits import Threshold, ThresholdParameters

LIMITS: Mapping[str, tuple[float | None, float | None]] = {
    "%": (0.0, 100.0),
    "%RH": (0.0, 100.0),
    "°C": (-273.15, None),
    "°F": (-459.67, None),
    "K": (0.0, None),
    "Pa": (0.0, None),
    "hPa": (0.0, None),
    "kPa": (0.0, None),
    "mbar": (0.0, None),
    "bar": (0.0, None),
    "ppm": (0.0, 1_000_000.0),
    "ppb": (0.0, 1_000_000_000.0),
    "µg/m³": (0.0, None),
    "mg/m³": (0.0, None),
    "g/m³": (0.0, None),
    "lx": (0.0, None),
    "dB": (0.0, 194.0),
    "pH": (0.0, 14.0),
    "°": (0.0, 360.0),
    "Hz": (0.0, None),
    "rpm": (0.0, None),
    "kg": (0.0, None),
    "L": (0.0, None),
    "m³": (0.0, None),
    "Ω": (0.0, None),
    "s": (0.0, None),
}
"""Lowest and highest possible reading by unit. Pressures are absolute, concentrations shares of a whole, sound levels
in air below the point where its troughs are vacuum."""

_OTHER_NAMES = {
    "C": "°C", "degC": "°C", "Cel": "°C", "℃": "°C", "F": "°F", "degF": "°F", "℉": "°F", "%rh": "%RH", "lux": "lx",
    "deg": "°", "ug/m3": "µg/m³", "μg/m³": "µg/m³", "mg/m3": "mg/m³", "g/m3": "g/m³", "m3": "m³", "l": "L",
    "ohm": "Ω", "Ohm": "Ω", "\u2126": "Ω",
}  # fmt: skip


class PhysicalRangeParameters(BaseModel):
    """The unit, limits of one's own, or both; at least one of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    unit: str = Field(default="", description='Unit of the readings, whose possible range is known: "%", "°C", "hPa".')
    lower: float | None = Field(
        default=None, allow_inf_nan=False, description="Lowest possible value, in place of the unit's."
    )
    upper: float | None = Field(
        default=None, allow_inf_nan=False, description="Highest possible value, in place of the unit's."
    )

    @model_validator(mode="after")
    def _has_limits_in_order(self) -> Self:
        lower, upper = self.limits()
        if lower is None and upper is None:
            raise ValueError("physical_range: expected a unit, or at least one of lower and upper")
        if lower is not None and upper is not None and lower > upper:
            raise ValueError(f"physical_range: expected lower <= upper, got lower {lower} and upper {upper}")
        return self

    def limits(self) -> tuple[float | None, float | None]:
        """The lowest and highest possible reading. Raises ValueError for a unit that is not in the table and has no
        limits of its own."""
        unit = _OTHER_NAMES.get(self.unit, self.unit)
        if self.unit and unit not in LIMITS and self.lower is None and self.upper is None:
            hint = did_you_mean(self.unit, (*LIMITS, *_OTHER_NAMES))
            raise ValueError(
                f'unit "{self.unit}" has no known range{hint} (known: {", ".join(LIMITS)}); give lower or upper'
            )
        lower, upper = LIMITS.get(unit, (None, None))
        return lower if self.lower is None else self.lower, upper if self.upper is None else self.upper


class PhysicalRange(Threshold):
    """Possible or not: a reading outside its unit's range scores MAX_SCORE, a reading inside or on its ends 0.

    Works: on sensors and links that break so that the number is nonsense: -999, 65535, a humidity of 130 %. Fails: on
    all that is possible, however odd; on a share or a percentage that may go beyond 100 (a load, a battery that is
    charged), for which `upper` is to be set. Expected is NaN; the band is the range.

    Cost: about 10 ns a reading. Memory: 8 bytes a slot (the count of readings). Source: the gross range test of QARTOD
    (U.S. IOOS), with absolute zero and shares of a whole as the outermost range.
    """

    name: ClassVar[str] = "physical_range"
    Parameters: ClassVar[type[BaseModel]] = PhysicalRangeParameters

    @classmethod
    def examples(cls) -> tuple[Mapping[str, object], ...]:
        """A unit alone, and a unit with a limit of the sensor's own; there is no default."""
        return ({"unit": "%"}, {"unit": "°C", "lower": -40.0, "upper": 85.0})

    def __init__(self, parameters: PhysicalRangeParameters) -> None:
        lower, upper = parameters.limits()
        super().__init__(ThresholdParameters(lower=lower, upper=upper))
