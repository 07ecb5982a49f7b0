from __future__ import annotations

from pathlib import Path

import pytest

from driftline.config import load_config
from driftline.config_edit import candidate_edit, text_edit
from driftline.config_errors import ConfigError
from tuning.candidate import Candidate

BEFORE = """# the plant's own
[alarm]
budget = "1 per sensor per week"  # agreed with the shift

[http]
port = 0
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "driftline.toml"
    path.write_text(BEFORE)
    return path


def test_a_budget_changes_its_one_line_and_no_comment(file: Path) -> None:
    edit = candidate_edit(file, Candidate(budget="1 per sensor per month"), None)
    assert file.read_text() == BEFORE
    changed = [line for line in edit.difference.splitlines()[2:] if line[0] in "+-"]
    assert changed == [
        '-budget = "1 per sensor per week"  # agreed with the shift',
        '+budget = "1 per sensor per month"  # agreed with the shift',
    ]
    edit.write()
    assert load_config(file).alarm.budget == "1 per sensor per month"


def test_one_device_s_budget_stands_beside_the_common_one(file: Path) -> None:
    candidate_edit(file, Candidate(budget="1 per sensor per month"), "plant/pump-07").write()
    candidate_edit(file, Candidate(budget="1 per sensor per year"), "plant/pump-07").write()
    candidate_edit(file, Candidate(budget="1 per sensor per day", metric="flow"), "plant/pump-07").write()
    alarm = load_config(file).alarm
    assert alarm.budget_of("plant/pump-07", "temperature") == "1 per sensor per year"
    assert alarm.budget_of("plant/pump-07", "flow") == "1 per sensor per day"
    assert alarm.budget_of("plant/pump-08", "flow") == "1 per sensor per week"
    assert "# the plant's own" in file.read_text()
    assert len(alarm.overrides) == 2


def test_a_file_that_is_not_there_is_made(tmp_path: Path) -> None:
    path = tmp_path / "driftline.toml"
    candidate_edit(path, Candidate(budget="1 per sensor per day"), 'odd "name"').write()
    assert load_config(path).alarm.budget_of('odd "name"', "x") == "1 per sensor per day"
    assert load_config(path).alarm.budget == "1 per sensor per week"


def test_what_is_no_configuration_is_refused_and_changes_nothing(file: Path) -> None:
    with pytest.raises(ConfigError, match=r'alarm\.budget: expected "N per sensor per'):
        text_edit(file, BEFORE.replace("1 per sensor per week", "often"))
    with pytest.raises(ConfigError, match="only a budget can be set for all devices"):
        candidate_edit(file, Candidate(direction="above"), None)
    assert file.read_text() == BEFORE


def test_what_is_known_of_a_series_is_said_in_one_entry_that_is_changed_again(file: Path) -> None:
    candidate_edit(file, Candidate(metric="flow", direction="below"), "plant/pump-07").write()
    candidate_edit(file, Candidate(metric="flow", smallest_deviation=2.0, detector="joint"), "plant/pump-07").write()
    candidate_edit(file, Candidate(smallest_deviation=1.0), "plant/pump-07").write()
    series = load_config(file).series
    assert [(each.metric, each.direction, each.smallest_deviation, each.detectors) for each in series] == [
        ("*", None, 1.0, None),
        ("flow", "below", 2.0, ["joint"]),
    ]
    assert "# agreed with the shift" in file.read_text()


def test_signs_of_patterns_in_a_name_stand_for_themselves(file: Path) -> None:
    candidate_edit(file, Candidate(budget="1 per sensor per year", direction="below"), "plant/p[7]").write()
    config = load_config(file)
    assert config.alarm.budget_of("plant/p[7]", "x") == "1 per sensor per year"
    assert config.series[0].matches("plant/p[7]", "x")
    assert not config.series[0].matches("plant/p7", "x")
