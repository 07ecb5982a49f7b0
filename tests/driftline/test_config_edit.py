from __future__ import annotations

from pathlib import Path

import pytest

from driftline.config import load_config
from driftline.config_edit import budget_edit
from driftline.config_errors import ConfigError

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
    edit = budget_edit(file, "1 per sensor per month")
    assert file.read_text() == BEFORE
    changed = [line for line in edit.difference.splitlines()[2:] if line[0] in "+-"]
    assert changed == [
        '-budget = "1 per sensor per week"  # agreed with the shift',
        '+budget = "1 per sensor per month"  # agreed with the shift',
    ]
    edit.write()
    assert load_config(file).alarm.budget == "1 per sensor per month"


def test_one_device_s_budget_stands_beside_the_common_one(file: Path) -> None:
    budget_edit(file, "1 per sensor per month", "plant/pump-07").write()
    budget_edit(file, "1 per sensor per year", "plant/pump-07").write()
    budget_edit(file, "1 per sensor per day", "plant/pump-07", "flow").write()
    alarm = load_config(file).alarm
    assert alarm.budget_of("plant/pump-07", "temperature") == "1 per sensor per year"
    assert alarm.budget_of("plant/pump-07", "flow") == "1 per sensor per day"
    assert alarm.budget_of("plant/pump-08", "flow") == "1 per sensor per week"
    assert "# the plant's own" in file.read_text()
    assert len(alarm.overrides) == 2


def test_a_file_that_is_not_there_is_made(tmp_path: Path) -> None:
    path = tmp_path / "driftline.toml"
    budget_edit(path, "1 per sensor per day", 'odd "name"').write()
    assert load_config(path).alarm.budget_of('odd "name"', "x") == "1 per sensor per day"
    assert load_config(path).alarm.budget == "1 per sensor per week"


def test_what_is_no_budget_is_refused_and_changes_nothing(file: Path) -> None:
    with pytest.raises(ConfigError, match=r'alarm\.budget: expected "N per sensor per'):
        budget_edit(file, "often")
    assert file.read_text() == BEFORE
