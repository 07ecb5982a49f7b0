"""Where benchmark corpora and their scorers lie, for tests that skip, saying so, where they do not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_BESIDE = Path(__file__).resolve().parents[3] / "shared"


def corpus(name: str) -> Path:
    """The folder of a corpus (nab, ucr-dev, skab) in $DRIFTLINE_CORPORA, else beside the project."""
    folder = Path(os.environ.get("DRIFTLINE_CORPORA", _BESIDE / "corpora")) / name
    if not folder.is_dir():
        pytest.skip(f"no corpus at {folder}; set DRIFTLINE_CORPORA to the folder that holds {name}/")
    return folder


def scorer(name: str) -> Path:
    """A scorer's script in $DRIFTLINE_SCORERS, else beside the project."""
    path = Path(os.environ.get("DRIFTLINE_SCORERS", _BESIDE / "tools")) / name
    if not path.is_file():
        pytest.skip(f"no scorer at {path}; set DRIFTLINE_SCORERS to the folder that holds {name}")
    return path
