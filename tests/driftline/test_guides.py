"""The guides: each is reached from the index, and the commands that they show exist with their options."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer.main

from driftline.cli.command_line import app

ROOT = Path(__file__).resolve().parents[2]
GUIDES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"\]\(([^)\s#]+)")
SHELL = re.compile(r"```sh\n(.*?)```", re.DOTALL)
COMMANDS = typer.main.get_group(app).commands
PASSED_ON = {"simulate"}
"""Commands that hand their arguments to another program."""


def linked(page: Path) -> set[Path]:
    """Pages that a page links to; a folder stands for all of its pages."""
    targets = {(page.parent / target).resolve() for target in LINK.findall(page.read_text(encoding="utf-8"))}
    return {each for target in targets for each in (target.glob("*.md") if target.is_dir() else [target])}


def test_every_page_is_reached_from_the_index_and_the_index_from_the_readme() -> None:
    index = ROOT / "docs" / "index.md"
    assert index in linked(ROOT / "README.md")
    reached, waiting = {index}, [index]
    while waiting:
        new = {page for page in linked(waiting.pop()) if page.suffix == ".md" and page.is_file()} - reached
        reached |= new
        waiting += new
    assert [str(page.relative_to(ROOT)) for page in GUIDES if page not in reached] == []


def shown_commands() -> list[tuple[str, str]]:
    found = []
    for guide in GUIDES:
        for block in SHELL.findall(guide.read_text(encoding="utf-8")):
            lines = block.replace("\\\n", " ")
            found += [(guide.name, line) for line in re.findall(r"^\s*(driftline [a-z].*)$", lines, re.MULTILINE)]
    return found


@pytest.mark.parametrize(("guide", "line"), shown_commands())
def test_a_command_that_is_shown_exists_with_its_options(guide: str, line: str) -> None:
    try:
        words = shlex.split(line, comments=True)
    except ValueError:  # A string that goes on in the next line.
        words = line.split()
    name = words[1]
    assert name in COMMANDS, f"{guide}: {line}"
    if name not in PASSED_ON:
        known = {option for parameter in COMMANDS[name].params for option in parameter.opts} | {"--help", "-h"}
        used = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert used <= known, f"{guide}: {line}"


def test_the_readme_names_what_people_look_for() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for page, word in {
        "docs/dashboards.md": "Grafana",
        "docs/storage.md": "InfluxDB",
        "docs/deploy.md": "Docker",
        "docs/reliability.md": "backup",
    }.items():
        assert re.search(rf"\[[^\]]*{word}[^\]]*\]\({page}", text), word
    assert "VictoriaMetrics" in text
