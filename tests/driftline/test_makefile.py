import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TARGETS = [
    "setup",
    "dev",
    "run",
    "stack",
    "test",
    "lint",
    "types",
    "docs",
    "docs-check",
    "check",
    "mutants",
    "pictures",
    "lock",
    "lock-check",
    "bench",
    "scorecard",
    "test-faults",
    "chaos",
    "fuzz",
    "clean",
]

needs_make = pytest.mark.service("make")


def make(*arguments: str) -> str:
    done = subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=240, check=True)
    return done.stdout


@needs_make
def test_make_alone_lists_every_target_with_a_word_on_it() -> None:
    listed = dict(re.findall(r"^  make ([a-z-]+) +(\S.*)$", make(), flags=re.MULTILINE))
    assert set(listed) == {"help", *TARGETS}


@needs_make
@pytest.mark.parametrize("target", TARGETS)
def test_every_target_resolves(target: str) -> None:
    assert make("--dry-run", target)


@needs_make
def test_check_runs_style_types_pages_and_tests_in_this_order() -> None:
    text = make("--dry-run", "check")
    steps = ["ruff check", "ruff format --check", "vulture", "deptry", "mypy", "driftline.reference --check", "pytest"]
    places = [text.index(step) for step in steps]
    assert places == sorted(places)


def test_ci_runs_make_check_and_accepts_no_skipped_service() -> None:
    text = (ROOT / ".ci" / "run").read_text()
    assert text.splitlines()[-1].startswith("make check")
    assert "export DRIFTLINE_REQUIRE_SERVICES=1" in text


@pytest.mark.parametrize(("script", "shell"), [(".ci/run", "bash"), ("deploy/bootstrap/setup.sh", "sh")])
def test_scripts_are_executable_and_well_formed(script: str, shell: str) -> None:
    path = ROOT / script
    assert path.stat().st_mode & 0o111
    subprocess.run([str(shutil.which(shell)), "-n", str(path)], check=True, timeout=240)


def test_setup_says_which_python_it_needs_where_there_is_none(tmp_path: Path) -> None:
    # A copy, so that the real environment is not touched; no python on the path that it is given.
    script = tmp_path / "deploy" / "bootstrap" / "setup.sh"
    script.parent.mkdir(parents=True)
    shutil.copy(ROOT / "deploy" / "bootstrap" / "setup.sh", script)
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("sh", "dirname"):
        (tools / tool).symlink_to(str(shutil.which(tool)))
    done = subprocess.run(
        [str(script)], env={"PATH": str(tools)}, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode != 0
    assert "no Python 3.11 or newer on PATH" in done.stderr


def test_pip_is_shipped_for_systems_whose_python_lacks_it() -> None:
    assert len(list((ROOT / "deploy" / "bootstrap").glob("pip-*.whl"))) == 1
