"""Stages are called by name: a number says nothing to a reader, and changes when a stage is added."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NUMBERED = re.compile(r"\bstages? \d|\b\d of [5-9]\b", re.IGNORECASE)
FOLDERS = (
    "alerts",
    "common",
    "dashboards",
    "detectors",
    "devices",
    "driftline",
    "firmware-sim",
    "functions",
    "ingest",
    "storage",
    "streams",
    "tuning",
    "workflows",
)


def test_no_docstring_and_no_guide_numbers_a_stage() -> None:
    docstrings = {
        str(path.relative_to(ROOT)): ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
    }
    guides = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")}
    assert len(docstrings) > 200
    assert [name for name, text in (docstrings | guides).items() if NUMBERED.search(text)] == []
