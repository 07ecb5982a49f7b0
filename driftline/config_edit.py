"""Changes of the configuration file that a person makes on the page: comments and order stay, the result is checked."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any

import tomlkit

from driftline.config import PROFILES, Config, parse_config
from driftline.config_errors import ConfigError
from tuning.candidate import Candidate

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


def candidate_edit(path: Path, candidate: Candidate, device: str | None) -> Edit:
    """Put other settings of a device's series in the file; without a device, a budget for all.

    Raises ConfigError where the result is not valid, OSError.
    """
    before = path.read_text(encoding="utf-8") if path.exists() else NEW_FILE
    document = tomlkit.parse(before)
    if candidate.budget is not None:
        if "alarm" not in document:
            _append(document, "alarm", tomlkit.table())
        alarm: Any = document["alarm"]
        if device is None:
            alarm["budget"] = candidate.budget
        else:
            _set_override(alarm, escape(device), escape(candidate.metric or "") or "*", candidate.budget)
    if candidate.rescores:
        if device is None:
            raise ConfigError(["device: missing: only a budget can be set for all devices at once"])
        _set_series(document, candidate.series_settings(device).model_dump(mode="json", exclude_none=True))
    return text_edit(path, tomlkit.dumps(document))


def text_edit(path: Path, after: str) -> Edit:
    """Put another text in place of the file's. Raises ConfigError where it is not valid, OSError."""
    before = path.read_text(encoding="utf-8") if path.exists() else NEW_FILE
    return Edit(path, before, after, parse_config(after, name=str(path), profiles=path.parent / PROFILES))


def _append(document: Any, name: str, table: Any) -> None:
    """Add a table at the end, apart from what is there."""
    if document.body and not document.as_string().endswith("\n\n"):
        document.add(tomlkit.nl())
    document.append(name, table)


def _set_series(document: Any, said: dict[str, Any]) -> None:
    """Say something of a series in an entry of its own, or in the one that it has."""
    if "series" not in document:
        _append(document, "series", tomlkit.aot())
    names = {name: said.pop(name) for name in ("device", "metric")}
    for entry in document["series"]:
        if all(entry.get(name, "*") == value for name, value in names.items()):
            entry.update(said)
            return
    table = tomlkit.table()
    table.update({name: value for name, value in names.items() if value != "*"} | said)
    # Of several that match the first counts, so a new one stands before what was there.
    document["series"].insert(0, table)


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
