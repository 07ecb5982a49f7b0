"""Every input that fuzzing kept, and every one that failed once, against the promises of its target."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz_targets import TARGETS

HERE = Path(__file__).parent


@pytest.mark.parametrize("target", TARGETS)
def test_what_fuzzing_found(target: str) -> None:
    kept = [*(HERE / "corpus" / target).glob("*"), *(HERE / "crashes" / target).glob("*")]
    assert len(kept) > 5
    for file in kept:
        TARGETS[target](file.read_bytes())
