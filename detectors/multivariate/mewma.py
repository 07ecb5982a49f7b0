"""Score: the running mean of a device's rows against where the device usually is, as one distance."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, Field

from detectors.multivariate.mahalanobis import Mahalanobis
from detectors.multivariate.row_detector import RowParameters


class MewmaParameters(RowParameters):
    """As of all rows, and how long the running mean remembers."""

    smoothing: float = Field(default=0.1, gt=0, le=1, description="Weight of a new row in the running mean.")


class Mewma(Mahalanobis):
    """The distance of the running mean of a device's rows: shifts that are small in each row, but stay.

    As `mahalanobis`, for the exponentially weighted mean of the rows. Rows are rarely independent, so the running mean
    strays further than theory says; its distance is measured against what it usually is on this device.

    Works: on lasting shifts and slow drifts of a fraction of a deviation, in one channel or several. Fails: on single
    odd rows; answers late by about 1 / `smoothing` rows, and lasts as long beyond the fault's end.

    Cost: about 0.5 us a row of 8 channels. Memory: 16 bytes x channels^2 and 32 x channels + 276 a device. Source:
    Lowry, Woodall, Champ and Rigdon, "A Multivariate EWMA Control Chart", Technometrics 34, 1992.
    """

    name: ClassVar[str] = "mewma"
    Parameters: ClassVar[type[BaseModel]] = MewmaParameters

    def __init__(self, parameters: MewmaParameters) -> None:
        super().__init__(parameters)
        self.smoothing = parameters.smoothing
