"""`driftline version`: which release this is, on which Python, with which libraries."""

from __future__ import annotations

import platform
from importlib import metadata

LIBRARIES = ("duckdb", "numba", "numpy", "paho-mqtt", "amqtt", "river", "influxdb-client", "pyarrow")


def version() -> None:
    """Print the versions that matter in a report: Driftline's, Python's, the libraries'.

    Example: driftline version
    """
    print(f"driftline {_installed('driftline')} (Python {platform.python_version()}, {platform.system()})")
    for name in LIBRARIES:
        print(f"  {name} {_installed(name)}")


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
