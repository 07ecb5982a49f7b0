import pytest
from pydantic import ValidationError

from detectors.compile_detectors import compile_all
from detectors.detector_registry import DETECTORS, ROW_DETECTORS, UnknownDetectorError, by_name, create, create_either
from detectors.zscore import ZScore


def test_every_detector_is_created_by_its_name() -> None:
    for detector in (*DETECTORS, *ROW_DETECTORS):
        for parameters in detector.examples():
            assert type(create_either(detector.name, parameters)) is detector


def test_an_unknown_name_is_answered_with_the_nearest_and_all() -> None:
    with pytest.raises(UnknownDetectorError, match=r'"zscor"; did you mean "zscore"\? \(known: .*threshold.*\)'):
        create("zscor", {})


def test_wrong_parameters_are_pydantics_to_explain() -> None:
    with pytest.raises(ValidationError) as caught:
        create("zscore", {"half_live": 3})
    assert caught.value.errors()[0]["loc"] == ("half_live",)


def test_two_detectors_of_one_name_are_refused() -> None:
    class Other(ZScore):
        pass

    with pytest.raises(ValueError, match="'zscore' is taken"):
        by_name((ZScore, Other))


def test_compiling_ahead_names_each_detector() -> None:
    named: list[str] = []
    compile_all(named.append)
    assert named == [detector.name for detector in (*DETECTORS, *ROW_DETECTORS)]
