"""The guide's recipes followed to the end: a world and a kind of fault of one's own, in a copy of the simulator."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from devices.fault_labels import read_labels

ROOT = Path(__file__).resolve().parents[2]


def test_a_world_and_a_fault_are_added_with_a_file_and_a_line_each(tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "simulator.md").read_text(encoding="utf-8").partition("## Add to it")[2]
    world, fault = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    package = tmp_path / "firmware_sim"
    shutil.copytree(ROOT / "firmware-sim" / "firmware_sim", package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "worlds" / "hot_water.py").write_text(world, encoding="utf-8")
    (package / "fault_kinds" / "echo.py").write_text(fault, encoding="utf-8")
    for module, imported, line, before in (
        ("worlds", "from firmware_sim.worlds.hot_water import HotWater", "    HotWater(),", "    MachineHall(),"),
        ("fault_kinds", "from firmware_sim.fault_kinds.echo import DoubledGain", "    DoubledGain(),", "    Spike(),"),
    ):
        registry = package / module / "__init__.py"
        text = registry.read_text(encoding="utf-8").replace(before, f"{line}\n{before}", 1)
        first = text.index("\nfrom ") + 1
        registry.write_text(f"{text[:first]}{imported}\n{text[first:]}", encoding="utf-8")
    exported = tmp_path / "plant"
    command = ["-m", "firmware_sim", "--world", "hot-water", "--export", str(exported), "--size", "4", "--seed", "3"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    ran = subprocess.run(
        [sys.executable, *command], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert re.search(r"plant: 8 devices, [\d,]+ readings, \d+ faults, in", ran.stderr)
    assert len(list((exported / "readings").iterdir())) == 8
    labels = read_labels(exported / "truth.csv")
    burnt = [label for label in labels if label.kind == "burnt element"]
    assert {label.metric for label in burnt} == {"temperature", "power"}
    assert any(label.kind == "doubled gain" for label in labels)
