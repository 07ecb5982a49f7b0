from detectors.registry import DETECTORS, ROW_DETECTORS
from driftline.compile import compile_all


def test_every_detector_is_compiled_with_a_word_before_it() -> None:
    said: list[str] = []
    compile_all(said.append)
    assert {f"detector {detector.name}" for detector in (*DETECTORS, *ROW_DETECTORS)} <= set(said)
    assert said[-1] == "the whole way"
