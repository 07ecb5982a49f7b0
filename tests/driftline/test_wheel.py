"""The wheel: takes one name in site-packages, and runs from there as the checkout does."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

BESIDE = """\
import devices, storage
print(devices.NAME, storage.NAME)
"""
EVERY_MODULE = """\
import importlib, pkgutil, driftline
names = [each.name for each in pkgutil.walk_packages(driftline.__path__, "driftline.") if "__main__" not in each.name]
for name in names:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:  # the extra that is in none of the developer's tools
        if name != "driftline.cluster.spark_engine" or not error.name.startswith("pyspark"):
            raise
print(len(names))
"""
OWN = """\
from driftline.api import Detector
from detectors.base import Detector as FormerDetector

class Level:
    def score(self, value, time):
        return 1.0 if Detector is FormerDetector else 0.0

    def learn(self, value, time):
        pass
"""
CONFIG = """\
[[routes]]
filter = "#"
detectors = ["own"]

[detectors.own]
type = "file"
path = "own.py"
class = "Level"
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, text=True)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel, the libraries of this one, and other packages named as our rooms are."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python")]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", "--no-compile", str(wheel)], check=True)
    # The editable installation of this environment is not taken along: its .pth file is not read from a plain path.
    libraries = [path for path in sys.path if path.endswith("site-packages")]
    (site / "libraries.pth").write_text("\n".join(libraries) + "\n")
    for name in ("devices", "storage"):
        (site / name).mkdir()
        (site / name / "__init__.py").write_text(f'NAME = "another {name}"\n')
    return folder / "bin"


def run(installed: Path, folder: Path, *command: str) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment["NUMBA_CACHE_DIR"] = str(folder / "kernels")
    ran = subprocess.run(
        [str(installed / command[0]), *command[1:]],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_the_wheel_has_one_name_at_the_top_and_every_module_of_the_rooms(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"driftline"}
    for module in (
        "storage/store.py",
        "firmware_sim/simulator.py",
        "devices/profiles/tasmota.toml",
        "runtime/service.py",
    ):
        assert f"driftline/{module}" in names
    assert not [name for name in names if "__pycache__" in name or name.startswith("driftline/tests")]


def test_no_module_in_the_wheel_imports_a_room_from_the_top(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    rooms = "alerts|common|dashboards|detectors|devices|firmware_sim|ingest|storage|tuning"
    from_the_top = re.compile(rf"^\s*(from ({rooms})(\.[\w.]+)? import |import ({rooms})\b)", re.MULTILINE)
    left = [
        f"{name}: {match[0].strip()}"
        for name in archive.namelist()
        if name.endswith(".py")
        for match in from_the_top.finditer(archive.read(name).decode())
    ]
    assert left == []


def test_the_installed_command_prints_its_version_and_checks_a_configuration(installed: Path, tmp_path: Path) -> None:
    assert run(installed, tmp_path, "driftline", "--version").startswith("driftline 0.")
    assert "ok" in run(installed, tmp_path, "driftline", "check")


def test_an_own_detector_runs_in_the_installed_package(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "driftline.toml").write_text(CONFIG)
    assert "ok" in run(installed, tmp_path, "driftline", "check")


def test_other_packages_of_the_rooms_names_stay_themselves(installed: Path, tmp_path: Path) -> None:
    assert run(installed, tmp_path, "python", "-c", BESIDE) == "another devices another storage\n"


def test_every_module_of_the_installed_package_can_be_imported(installed: Path, tmp_path: Path) -> None:
    assert int(run(installed, tmp_path, "python", "-c", EVERY_MODULE)) > 200
