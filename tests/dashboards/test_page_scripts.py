"""The page's scripts: linted and type-checked. Needs Node, which only CI has to have; its tools come by npx, pinned."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

DASHBOARDS = Path(__file__).resolve().parents[2] / "dashboards"
TYPESCRIPT, ESLINT = "typescript@5.9.3", "eslint@9.39.1"

pytestmark = [pytest.mark.service("npx"), pytest.mark.timeout(600)]


def npx(package: str, folder: Path, *command: str) -> str:
    """What the tool prints; nothing where all is well. Skips where it cannot be had, unless services are required."""
    cached = subprocess.run(
        ["npx", "--yes", "--package", package, "--", command[0], "--version"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if cached.returncode != 0:
        if os.environ.get("DRIFTLINE_REQUIRE_SERVICES") == "1":
            pytest.fail(f"npx cannot get {package}: {cached.stderr}", pytrace=False)
        pytest.skip(f"npx cannot get {package} here")
    ran = subprocess.run(
        ["npx", "--yes", "--package", package, "--", *command], cwd=folder, capture_output=True, text=True, check=False
    )
    return ran.stdout + ran.stderr


def test_the_scripts_types_fit() -> None:
    assert npx(TYPESCRIPT, DASHBOARDS, "tsc", "--project", "jsconfig.json") == ""


def test_a_wrong_type_would_be_found(tmp_path: Path) -> None:
    shutil.copytree(DASHBOARDS / "web" / "js", tmp_path / "web" / "js")
    for name in ("jsconfig.json", "page_globals.d.ts"):
        shutil.copy(DASHBOARDS / name, tmp_path / name)
    with (tmp_path / "web" / "js" / "format.js").open("a") as script:
        script.write("\nexport const wrong = Math.max('one');\n")
    assert "format.js" in npx(TYPESCRIPT, tmp_path, "tsc", "--project", "jsconfig.json")


def test_the_scripts_are_linted() -> None:
    assert npx(ESLINT, DASHBOARDS, "eslint", "--config", "eslint.config.mjs", "web/js") == ""
