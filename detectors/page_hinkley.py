"""Score: the Page-Hinkley test: slow drift away from the mean of everything since the last change."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, Field

from detectors.cusum import Cusum, SumParameters


class PageHinkleyParameters(SumParameters):
    """Which drift is looked for, and when it is accepted as the new normal."""

    allowance: float = Field(default=0.1, gt=0, le=10, description="Deviations that each reading is forgiven.")
    warmup: int = Field(default=100, ge=4, le=1_000_000, description="Readings learned before the first score.")
    relearn_after: int = Field(
        default=400, ge=2, le=1_000_000, description="Readings after which a change that stays is the new level."
    )


class PageHinkley(Cusum):
    """Sums of deviations from the mean since the last change, less a small allowance, over their lowest point.

    The same sums as `cusum`'s (a sum over its lowest point is a sum that never falls below 0), with the mean of all
    readings since the last change as the level, which does not follow a drift as a fading one would, and a small
    allowance, which lets slow changes add up.

    Works: on slow drift and small lasting shifts of a series that is steady otherwise. Fails: on seasons and
    wandering levels, which are drift to it: there its sums are usual on the series' own past and score little; and
    in the first `warmup` readings' error of the mean, which is drift, too.

    Cost: about 180 ns a reading. Memory: 356 bytes a slot. Source: Page, Biometrika 41, 1954; Hinkley, "Inference
    about the change-point from cumulative sum tests", Biometrika 58, 1971.
    """

    name: ClassVar[str] = "page_hinkley"
    Parameters: ClassVar[type[BaseModel]] = PageHinkleyParameters
