"""The map and the land: the threads that docs/architecture.md lists are those that the code starts."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("alerts", "driftline", "functions", "ingest", "storage")
BRIEF = {"opening the database"}


def test_the_documented_threads_are_those_that_are_started() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for room in ROOMS for path in (ROOT / room).rglob("*.py"))
    starts = r'(?:Thread\(\s*target=[^"]*?name=|BackgroundJob\()f?"([^"]+)"'
    started = {name.replace("{name}", "NAME") for name in re.findall(starts, source)} - BRIEF
    guide = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[^|]+) \|", guide.partition("## Threads")[2].partition("\n## ")[0], re.MULTILINE)
    documented = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert documented - {"main"} == started
