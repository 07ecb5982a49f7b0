"""Detectors that score a device's metrics together, row by row."""
