"""Statistics that detectors share: robust scale, quantiles, calibration, calendar time, found periods."""
