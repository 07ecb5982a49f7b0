"""The lock holds what pyproject.toml asks for: pinned, with hashes, and without an address."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "lock"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PIN = re.compile(r"^([a-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)


def pins(name: str) -> dict[str, Version]:
    return {library: Version(version) for library, version in PIN.findall((FOLDER / f"{name}.txt").read_text())}


def requirements(extra: str) -> list[Requirement]:
    listed = PROJECT["dependencies"] if extra == "run" else PROJECT["optional-dependencies"][extra]
    return [each for each in map(Requirement, listed) if each.name != "driftline"]


@pytest.mark.parametrize("name", ["run", "grafana", "influx", "archive", "river", "notices", "fuzz", "dev"])
def test_every_requirement_is_pinned_to_a_version_that_fits(name: str) -> None:
    locked = pins("run") | pins(name)
    wrong = [str(each) for each in requirements(name) if not each.specifier.contains(locked.get(each.name, "0"))]
    assert wrong == [], "run `make lock`"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)
def test_every_pin_has_hashes_and_no_file_names_an_address(path: Path) -> None:
    blocks = re.split(r"^(?=[a-z0-9])", path.read_text(), flags=re.MULTILINE)[1:]
    assert blocks
    assert all("--hash=sha256:" in block for block in blocks)
    assert "://" not in path.read_text()


def test_a_library_has_one_version_in_all_files() -> None:
    together: dict[str, set[Version]] = {}
    for path in FOLDER.glob("*.txt"):
        for library, version in PIN.findall(path.read_text()):
            together.setdefault(library, set()).add(Version(version))
    # numpy and scipy have one version for Python 3.11 and a newer one after it.
    assert {library for library, found in together.items() if len(found) > 1} <= {"numpy", "scipy"}


def test_an_extra_that_is_not_there_is_refused_with_those_that_are() -> None:
    ran = subprocess.run(
        ["sh", "deploy/bootstrap/setup.sh", "grafna"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 2
    assert ran.stderr == 'setup: no extra "grafna"; there are grafana, influx, archive, river, notices, fuzz, dev\n'


def test_what_running_needs_leaves_the_heavy_libraries_of_extras_out() -> None:
    assert not {"scipy", "pyarrow", "river", "influxdb-client", "grafana-api", "pytest"} & set(pins("run"))


def test_the_command_line_starts_without_the_extras() -> None:
    extras = [
        "scipy",
        "pyarrow",
        "river",
        "influxdb_client",
        "grafana_api",
        "grafana_foundation_sdk",
        "yaml",
        "apprise",
    ]
    needed = [
        "driftline.cli.command_line", "driftline.compile.ahead", "driftline.http.app", "driftline.runtime.service",
        "driftline.runtime.stack", "storage.retention", "tuning.backtest", "tuning.recordings",
    ]  # fmt: skip
    code = f"import sys; sys.modules |= dict.fromkeys({extras}); import {', '.join(needed)}; print('started')"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("started\n", "")


def test_compiling_ahead_passes_over_a_detector_whose_library_is_not_installed() -> None:
    code = (
        "import sys; sys.modules['river'] = None\n"
        "from driftline.compile.ahead import compile_steps; compile_steps(['detector river']); print('passed over')"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("passed over\n", "")
