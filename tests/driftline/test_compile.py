from __future__ import annotations

from pathlib import Path

import pytest

from detectors.detector_registry import DETECTORS, ROW_DETECTORS
from driftline.compile.ahead import STEPS, compile_steps
from driftline.compile.kernel_cache import CompiledNote
from driftline.compile.kernel_compiler import KernelCompiler, _shares, steps_for


def test_every_detector_and_stage_is_a_step_and_compiles_with_a_word_before_it() -> None:
    said: list[str] = []
    compile_steps(STEPS, said.append)
    assert said == list(STEPS)
    assert {f"detector {detector.name}" for detector in (*DETECTORS, *ROW_DETECTORS)} <= set(said)


def test_an_unknown_step_is_refused() -> None:
    with pytest.raises(ValueError, match='step "receving" of compiling: expected one of receiving, decoding'):
        compile_steps(["receving"])


def test_what_a_configuration_needs_are_steps_each_once() -> None:
    steps = steps_for(["zscore", "ensemble", "zscore"])
    assert len(steps) == len(set(steps))
    assert {"detector zscore", "detector ensemble"} < set(steps) <= set(STEPS)
    # The default asks the channels for special signals, which have a kernel of their own.
    assert "detector special_signals" in steps
    assert "detector special_signals" not in steps_for(["zscore"])


def test_two_processes_share_the_steps_and_none_decodes_that_another_compiles() -> None:
    shares = _shares(steps_for(["ensemble"]))
    assert shares == [["detector ensemble", "the whole way"], ["decoding", "detector special_signals"]]
    assert _shares(["decoding"]) == [["decoding"]]


@pytest.mark.timeout(600)
def test_what_is_missing_is_compiled_in_other_processes_and_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    said: list[str] = []
    steps = ["detector threshold", "detector rate_of_change"]
    compiler = KernelCompiler(steps, said.append)
    compiler.start()
    assert compiler.under_way
    compiler.wait()
    assert sorted(said) == sorted(steps)
    assert not compiler.under_way
    assert {path.suffix for path in tmp_path.rglob("*.nb?")} == {".nbi", ".nbc"}
    assert CompiledNote().steps() == set(steps)
    again = KernelCompiler(steps, said.append)
    again.start()
    again.wait()
    assert len(said) == len(steps)


@pytest.mark.timeout(600)
def test_a_step_that_fails_or_is_stopped_is_not_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    for steps, stop in ((["no such step"], False), (["detector ensemble"], True)):
        compiler = KernelCompiler(steps, lambda _: None)
        compiler.start()
        if stop:
            compiler.stop()
        compiler.wait()
        assert CompiledNote().steps() == set()
