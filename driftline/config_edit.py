"""Changes of the configuration file that a person makes on the page: comments and order stay, the result is checked."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit

from driftline.config import Config, parse_config

NEW_FILE = "# Driftline's configuration. All settings: driftline.sample.toml, docs/reference/configuration.md.\n"


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of the configuration file: the text before and after, and the checked result."""

    path: Path
    before: str
    after: str
    config: Config

    @property
    def difference(self) -> str:
        """The change as a unified diff."""
        lines = (self.before.splitlines(keepends=True), self.after.splitlines(keepends=True))
        return "".join(difflib.unified_diff(*lines, self.path.name, f"{self.path.name}, changed"))

    def write(self) -> None:
        """Put the change in place, whole. Raises OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(f".{self.path.name}.new")
        with temporary.open("w", encoding="utf-8") as file:
            file.write(self.after)
            file.flush()
            os.fsync(file.fileno())
        if self.path.exists():
            temporary.chmod(self.path.stat().st_mode)
        temporary.replace(self.path)


def budget_edit(path: Path, budget: str, device: str | None = None, metric: str | None = None) -> Edit:
    """Set the budget of all series, or of one device's, or of one metric of it.

    Raises ConfigError where the result is not valid, OSError.
    """
    before = path.read_text(encoding="utf-8") if path.exists() else NEW_FILE
    document = tomlkit.parse(before)
    if "alarm" not in document:
        document.append("alarm", tomlkit.table())
    alarm: Any = document["alarm"]
    if device is None:
        alarm["budget"] = budget
    else:
        _set_override(alarm, device, metric or "*", budget)
    after = tomlkit.dumps(document)
    return Edit(path, before, after, parse_config(after, name=str(path)))


def _set_override(alarm: Any, device: str, metric: str, budget: str) -> None:
    if "overrides" not in alarm:
        alarm["overrides"] = tomlkit.aot()
    for override in alarm["overrides"]:
        if override.get("device") == device and override.get("metric", "*") == metric:
            override["budget"] = budget
            return
    table = tomlkit.table()
    table["device"] = device
    if metric != "*":
        table["metric"] = metric
    table["budget"] = budget
    # The first that matches wins, so a new one stands before what was there.
    alarm["overrides"].insert(0, table)
