"""The wheel's contents: the rooms of the checkout, laid under `driftline/` so that they take no common name elsewhere.

In a checkout `storage`, `devices` and the others are folders at the top, importable as such. In the wheel each is a
part of the package `driftline`: `driftline/storage/`. The imports are written anew while the wheel is built; the
sources stay as they are. A build hook of hatchling, named in pyproject.toml.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOMS = {
    "alerts": "alerts",
    "common": "common",
    "dashboards": "dashboards",
    "detectors": "detectors",
    "devices": "devices",
    "firmware_sim": "firmware-sim/firmware_sim",
    "functions": "functions",
    "ingest": "ingest",
    "storage": "storage",
    "streams": "streams",
    "tuning": "tuning",
    "workflows": "workflows",
}
"""Name of each package and its folder in the checkout."""

RECORDS = {"benchmarks/scorecard.json": "tuning/scorecard.json"}
"""Files from outside the packages that the service shows, and their place in the package."""

PACKAGE = "driftline"
_NAMES = "|".join(ROOMS)
_FROM = re.compile(rf"^(\s*from )({_NAMES})(\.[\w.]+)?( import )", re.MULTILINE)
_PLAIN = re.compile(rf"^(\s*)import ({_NAMES})( *#.*)?$", re.MULTILINE)
_DOTTED = re.compile(rf"^\s*import ({_NAMES})\.", re.MULTILINE)
_RUN = re.compile(rf'("-m",\s*")({_NAMES})([\w.]*")')


def with_imports_of_the_wheel(source: str, name: str) -> str:
    """A module's source with the rooms imported from the package. Raises ValueError for a form that is not known."""
    if match := _DOTTED.search(source):
        raise ValueError(
            f'{name}: "{match[0].strip()}...": expected "from {match[1]}. ... import ...": the wheel maps it'
        )
    source = _FROM.sub(rf"\1{PACKAGE}.\2\3\4", source)
    source = _PLAIN.sub(rf"\1from {PACKAGE} import \2\3", source)
    return _RUN.sub(rf"\1{PACKAGE}.\2\3", source)


def files_of_the_wheel(root: Path) -> dict[Path, str]:
    """Each file that goes into the wheel, and its place there."""
    places: dict[Path, str] = {}
    for folder, place in {PACKAGE: PACKAGE, **{path: f"{PACKAGE}/{name}" for name, path in ROOMS.items()}}.items():
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                places[path] = f"{place}/{path.relative_to(root / folder).as_posix()}"
    places |= {root / path: f"{PACKAGE}/{place}" for path, place in RECORDS.items() if (root / path).is_file()}
    return places


class RoomsUnderOnePackage(BuildHookInterface):  # type: ignore[type-arg]
    """Puts the files, with their imports written anew, into the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before a wheel is built; an editable installation uses the checkout as it is."""
        if version == "editable":
            return
        written = Path(tempfile.mkdtemp(prefix="driftline-wheel-"))
        for path, place in files_of_the_wheel(Path(self.root)).items():
            if path.suffix == ".py":
                target = written / place
                target.parent.mkdir(parents=True, exist_ok=True)
                source = path.read_text(encoding="utf-8")
                target.write_text(with_imports_of_the_wheel(source, place), encoding="utf-8")
                path = target  # noqa: PLW2901
            build_data["force_include"][str(path)] = place
