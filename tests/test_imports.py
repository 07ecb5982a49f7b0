"""The import table of docs/architecture.md: which room may import which."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

MAY_IMPORT = {
    "common": set[str](),
    "devices": {"common"},
    "detectors": {"common"},
    "storage": {"devices", "common"},
    "alerts": {"devices", "common"},
    "ingest": {"common", "devices", "detectors", "storage", "alerts"},
    "streams": {"common", "devices", "detectors", "storage", "alerts", "ingest"},
    "functions": {"common", "devices", "storage", "alerts", "ingest", "streams"},
    "workflows": {"common", "functions"},
    "tuning": {"common", "ingest", "alerts", "detectors", "devices", "storage"},
    "dashboards": {"common", "storage", "alerts", "devices"},
    "firmware_sim": {"devices", "common"},
}
FOLDERS = {room: ROOT / room for room in MAY_IMPORT} | {"firmware_sim": ROOT / "firmware-sim" / "firmware_sim"}
ROOMS = {*MAY_IMPORT, "driftline"}


def imported_rooms(path: Path, room: str) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(room if node.level else (node.module or "").split(".")[0])
    return (found & ROOMS) - {room}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_what_the_table_allows(room: str) -> None:
    files = sorted(FOLDERS[room].rglob("*.py"))
    assert files
    wrong = [
        f"{path.relative_to(ROOT)} imports {', '.join(sorted(beyond))}"
        for path in files
        if (beyond := imported_rooms(path, room) - MAY_IMPORT[room])
    ]
    assert not wrong


def test_the_documented_table_is_the_one_held() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    documented = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 3 and cells[0].startswith("`") and cells[0].strip("`/").replace("-", "_") in MAY_IMPORT:
            room = cells[0].strip("`/").replace("firmware-sim", "firmware_sim")
            documented[room] = {word.strip("`") for word in cells[2].split(", ") if word.startswith("`")}
    assert documented == MAY_IMPORT
