"""A user's own detector: runs as documented, errors name file, line and expectation."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from detectors.detector import Scores
from detectors.detector_registry import create
from detectors.user_file import UserFile, UserFileError, load_class
from driftline.config import parse_config
from driftline.config_errors import ConfigError

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "own-detector.md").read_text(encoding="utf-8")
CODE = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)[0]
CODE_OF_A_FLEET = re.findall(r"<!-- test: fleet detector -->\n```python\n(.*?)```", GUIDE, re.DOTALL)[0]
TOML = re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)[0]
SAID = re.findall(r"<!-- check: score missing -->\n```text\n(.*?)\n```", GUIDE, re.DOTALL)[0]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "jumps.py").write_text(CODE)
    return tmp_path


def run(detector: object, values: list[float]) -> Scores:
    detector.grow(1)  # type: ignore[attr-defined]
    count = len(values)
    data = np.zeros(count, np.int32), np.arange(count, dtype=np.int64), np.array(values)
    return detector.step(*data, np.ones(count, np.bool_))  # type: ignore[attr-defined]


def write(folder: Path, body: str) -> dict[str, object]:
    (folder / "mine.py").write_text(body)
    return {"path": "mine.py", "class": "Mine", "warmup": 0}


def test_the_guides_example_is_valid_and_scores_as_it_says(folder: Path) -> None:
    settings = parse_config(TOML).detectors["jumps"]
    scores = run(create(settings.type, settings.parameters), [1.0, 1.5] * 15 + [501.5]).score
    assert np.isnan(scores[:20]).all()
    assert (scores[20:30] == 0.0).all()
    assert scores[30] == pytest.approx(3.0)


def test_the_guides_error_is_what_check_says(folder: Path) -> None:
    (folder / "jumps.py").write_text(CODE.replace("def score", "def rate"))
    with pytest.raises(ConfigError) as caught:
        parse_config(TOML)
    assert caught.value.errors == [SAID]


def test_the_guides_fleet_detector_scores_a_batch_of_series(folder: Path) -> None:
    (folder / "everywhere.py").write_text(CODE_OF_A_FLEET)
    detector = create("file", {"path": "everywhere.py", "class": "Everywhere", "parameters": {"limit": 10.0}})
    assert run(detector, [1.0, -11.0, 10.0]).score.tolist() == [0.0, 3.0, 0.0]
    assert detector.warming()[0].tolist() == [3]


def test_the_module_names_of_earlier_versions_work_and_say_what_to_write(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    former = CODE_OF_A_FLEET.replace(
        "from driftline.api import Column, FleetDetector, empty_scores, take_inputs",
        "from detectors.base import Scores\n"
        "from detectors.fleet import Column, FleetDetector, empty_scores, take_inputs",
    )
    (folder / "everywhere.py").write_text(former)
    detector = create("file", {"path": "everywhere.py", "class": "Everywhere"})
    assert run(detector, [1.0, 2e6]).score.tolist() == [0.0, 3.0]
    assert [record.message for record in caplog.records] == [
        f"{name}: import from driftline.api instead; the former name goes with the next version"
        for name in ("detectors.base", "detectors.fleet")
    ]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("class Mine:\n    def score(self", r"mine\.py:2: SyntaxError"),
        ("import nowhere_to_be_found\n", r"mine\.py:1: ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("class Other:\n    pass\n", r"mine\.py: expected a class 'Mine'; it has Other"),
        ("x = 1\nclass Mine:\n    def learn(self): ...\n", r"mine\.py:2: class Mine: .* score is missing"),
        (
            "class Mine:\n    def __init__(self, a): ...\n    def score(self, v, t): ...\n"
            "    def learn(self, v, t): ...\n",
            r"missing 1 required positional argument: 'a' \(making Mine with parameters {}\)",
        ),
        (
            "class Mine:\n    def __init__(self):\n        self.f = lambda: 0\n    def score(self, v, t): ...\n"
            "    def learn(self, v, t): ...\n",
            r"mine\.py: class Mine: expected objects that pickle can save",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_file_and_line(folder: Path, body: str, expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        create("file", write(folder, body))


def test_a_file_that_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(UserFileError, match=r"absent\.py: cannot be read: No such file or directory"):
        load_class("absent.py", "Mine")


def test_a_reading_that_the_class_cannot_take_has_no_score_and_is_logged_once(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    body = "class Mine:\n    def score(self, v, t):\n        return 1 / v\n    def learn(self, v, t): ..."
    scores = run(create("file", write(folder, body)), [1.0, 0.0, 2.0, 0.0]).score
    np.testing.assert_array_equal(scores, [1.0, np.nan, 0.5, np.nan])
    assert [r.getMessage() for r in caplog.records] == [
        "a reading has no score: mine.py:3: ZeroDivisionError: float division by zero"
    ]


@pytest.mark.parametrize("given", ["None", "'high'", "-1.0", "float('nan')"])
def test_a_score_that_is_no_number_of_0_or_more_is_none(
    folder: Path, caplog: pytest.LogCaptureFixture, given: str
) -> None:
    body = f"class Mine:\n    def score(self, v, t):\n        return {given}\n    def learn(self, v, t): ..."
    assert np.isnan(run(create("file", write(folder, body)), [1.0]).score).all()
    assert "Mine.score: expected a number of 0 or more, got" in caplog.text


def test_a_state_of_another_version_of_the_file_is_refused(folder: Path) -> None:
    parameters = {"path": "jumps.py", "class": "Jump", "warmup": 0}
    before = create("file", parameters)
    run(before, [1.0, 2.0])
    (folder / "jumps.py").write_text(CODE + "\n# changed\n")
    after = create("file", parameters)
    assert isinstance(after, UserFile)
    assert after.version != before.version
    with pytest.raises(ValueError, match=r"expected one saved by this version of jumps\.py"):
        after.load(before.state())
