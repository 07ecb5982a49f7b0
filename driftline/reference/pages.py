"""The generated pages: what the settings, the components and the commands say of themselves, written down.

`python -m driftline.reference` writes them, `--check` fails where a file is not what would be written.
"""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Callable
from pathlib import Path

from driftline.http.app import openapi_document
from driftline.reference.reference_cli import cli_page
from driftline.reference.reference_components import codecs_page, connect_pages, detectors_page, profiles_page
from driftline.reference.reference_settings import config_schema, configuration_page, sample_configuration
from driftline.reference.reference_simulator import simulator_page

ROOT = Path(__file__).resolve().parents[2]

PAGES: tuple[tuple[str, Callable[[], str]], ...] = (
    ("docs/reference/configuration.md", configuration_page),
    ("docs/reference/config.schema.json", lambda: json.dumps(config_schema(), indent=2, ensure_ascii=False) + "\n"),
    ("driftline.sample.toml", sample_configuration),
    ("docs/reference/detectors.md", detectors_page),
    ("docs/reference/codecs.md", codecs_page),
    ("docs/reference/profiles.md", profiles_page),
    ("docs/reference/cli.md", cli_page),
    ("docs/reference/simulator.md", simulator_page),
    ("docs/reference/openapi.json", lambda: openapi_document().decode()),
)
"""Each generated file, relative to the project, and what gives its text; beside them stand those of docs/connect/."""


def write_pages(root: Path = ROOT) -> list[str]:
    """Write every page that differs; returns those written."""
    written = []
    for name, text in _differing(root):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        written.append(name)
    return written


def page_differences(root: Path = ROOT) -> list[str]:
    """For each page that differs from what would be written, a unified diff."""
    return [
        "".join(
            difflib.unified_diff(
                _stored(root / name).splitlines(keepends=True), text.splitlines(keepends=True), name, f"{name}, anew"
            )
        )
        for name, text in _differing(root)
    ]


def _differing(root: Path) -> list[tuple[str, str]]:
    pages = {name: make() for name, make in PAGES}
    pages |= {f"docs/connect/{name}": text for name, text in connect_pages().items()}
    return [(name, text) for name, text in pages.items() if _stored(root / name) != text]


def _stored(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def main(arguments: list[str]) -> int:
    """Write the pages, or with `--check` say where they differ and return 1."""
    if arguments == ["--check"]:
        differences = page_differences()
        print("\n".join(differences), end="")
        if differences:
            print(f"docs: {len(differences)} generated files are out of date; `make docs` writes them", file=sys.stderr)
        return 1 if differences else 0
    for name in write_pages():
        print(f"wrote {name}")
    return 0
