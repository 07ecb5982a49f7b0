"""The guides: their links lead somewhere, their commands run, and every dependency has its line.

A shell block of the README is marked by the comment before it: `test: run` needs nothing, `test: service` a running
service. Blocks of `make` need no mark: CI runs them.
"""

import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from driftline.config import READ_AT_START

ROOT = Path(__file__).resolve().parents[2]
GUIDES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
BLOCK = re.compile(r"(?:<!-- test: (\w+) -->\n)?```sh\n(.*?)```", re.DOTALL)
BLOCKS = [(mark, body) for mark, body in BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))]


@pytest.mark.parametrize("guide", GUIDES, ids=[str(path.relative_to(ROOT)) for path in GUIDES])
def test_links_within_the_project_lead_somewhere(guide: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", guide.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text)]
    inside = [target for target in targets if target and "://" not in target]
    assert not [target for target in inside if not (guide.parent / target).exists()]


def test_the_settings_that_wait_for_the_next_start_are_those_that_the_page_names() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    (named,) = re.findall(r"Settings of (.+?) take effect at the next start", text, re.DOTALL)
    assert re.findall(r"`([\w.]+)`", named) == [*READ_AT_START, "limits.max_payload"]


def test_every_promise_about_data_names_tests_that_there_are() -> None:
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    table = text.partition("## Promises")[2].partition("## What is not promised")[0]
    cells = [line.rstrip("| ").rpartition("| ")[2] for line in table.splitlines() if line.startswith("| ")]
    chosen = [each for cell in cells for each in re.findall(r"`([^`]+)`", cell)]
    assert len(chosen) > 25
    for each in chosen[1:]:
        folder, words = re.fullmatch(r'(?:(tests/\w+) -k )?"?([\w ]+)"?', each).groups()  # type: ignore[union-attr]
        files = list((ROOT / (folder or "tests/faults")).glob("test_*.py"))
        names = [name for path in files for name in (path.stem, *re.findall(r"def (test_\w+)", path.read_text()))]
        for word in words.split(" or "):
            assert any(word in name for name in names), f"{each}: no test's name has {word!r}"


def test_every_dependency_has_its_line_and_no_other() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {name: listed for name, listed in project["optional-dependencies"].items() if name not in ("all", "dev")}
    declared = {"To run": project["dependencies"], "To develop": project["optional-dependencies"]["dev"]}
    declared |= {f"Extra `{name}`": listed for name, listed in extras.items()}
    text = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    sections = {part.partition("\n")[0].partition(":")[0]: part for part in text.split("\n## ")[1:]}
    assert set(sections) == {*declared, "Versions"}
    for title, listed in declared.items():
        names = {re.split(r"[<>=\[ ]", each)[0] for each in listed} - {"driftline"}
        assert set(re.findall(r"^\| `([\w-]+)` \| \S", sections[title], re.MULTILINE)) == names, title


def test_the_extra_for_all_holds_every_extra_but_the_developers() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    others = [name for name in extras if name not in ("all", "dev", "fuzz", "spark")]
    assert extras["all"] == [f"driftline[{','.join(others)}]"]


def test_every_shell_block_of_the_readme_is_run_here_or_by_make() -> None:
    unmarked = [body for mark, body in BLOCKS if not mark]
    assert all(line.startswith("make ") for body in unmarked for line in body.splitlines())
    assert {mark for mark, _ in BLOCKS if mark} == {"run", "service"}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment in which `driftline` is this very code."""
    command = tmp_path / "bin" / "driftline"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m driftline "$@"\n')
    command.chmod(0o755)
    paths = os.pathsep.join([str(ROOT), str(ROOT / "firmware-sim")])
    return {**os.environ, "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": paths}


Run = Callable[[str], str]


@pytest.fixture
def run(tmp_path: Path, environment: dict[str, str]) -> Run:
    """Runs a block in an empty folder and gives what it prints; a command that fails fails the test."""
    (tmp_path / "work").mkdir()

    def block(body: str) -> str:
        done = subprocess.run(
            ["sh", "-eu", "-c", body],
            cwd=tmp_path / "work",
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, f"{body}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return block


@pytest.fixture
def service(tmp_path: Path, environment: dict[str, str], run: Run, wait_until: Callable[..., None]) -> Iterator[Path]:
    """A service with the simulated fleet, on the data folder of the working folder. Gives its log."""
    log = tmp_path / "log"
    announced = tmp_path / "work" / "var" / "service.json"
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["driftline", "up", "--demo", "--port", "0"],
            cwd=tmp_path / "work",
            env=environment,
            executable=str(tmp_path / "bin" / "driftline"),
            stdout=out,
            stderr=out,
        )
    try:
        wait_until(lambda: announced.is_file() or process.poll() is not None, within=240, what="the service's start")
        assert process.poll() is None, log.read_text()
        yield log
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0, log.read_text()


@pytest.mark.parametrize("body", [body for mark, body in BLOCKS if mark == "run"])
def test_the_readme_runs_without_a_service(body: str, run: Run) -> None:
    assert run(body)


@pytest.mark.service("mosquitto")
def test_the_readme_runs_beside_a_service(service: Path, run: Run, wait_until: Callable[..., None]) -> None:
    for mark, body in BLOCKS:
        if mark == "service":
            run(body)
    wait_until(lambda: "lab/" in run("driftline devices"), within=240, what="the second fleet among the devices")
