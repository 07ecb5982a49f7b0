"""The components that a configuration can name, with the models that check their parameters.

The registries are imported when asked for: detectors bring the compiler, which `driftline --help` need not wait for.
"""

from __future__ import annotations

from pydantic import BaseModel


def detector_models() -> dict[str, type[BaseModel]]:
    """Parameter model of each detector, by the word in the configuration's `type`."""
    from detectors.detector_registry import DETECTORS, ROW_DETECTORS  # noqa: PLC0415

    return {detector.name: detector.Parameters for detector in (*DETECTORS, *ROW_DETECTORS)}


def codec_models() -> dict[str, type[BaseModel]]:
    """Parameter model of each codec, by the word in a route's `codec`."""
    from devices.codecs.codec_registry import CODECS  # noqa: PLC0415

    return {codec.name: codec.Parameters for codec in CODECS}
