"""Score: a user's own detector: a Python file that the configuration names, behind the fleet interface."""

from __future__ import annotations

import copy
import hashlib
import logging
import math
import pickle
import sys
import traceback
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from detectors.detector import MAX_SCORE, Detector, Scores, State
from detectors.fleet_detector import Column, check_state, empty_scores, take_inputs
from detectors.former_names import admit_former_names

log = logging.getLogger(__name__)

EXAMPLE = Path(__file__).with_name("user_example.py")
"""A file as a user would write it, for checks and documentation."""

_MOST_SAID = 20


class UserFileError(ValueError):
    """A user's file that cannot be used; the message names file, line where there is one, and what was expected."""


class UserFileParameters(BaseModel):
    """Where the class is and what it is made with."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    path: str = Field(min_length=1, description="The Python file; relative to the working folder.")
    class_: str = Field(alias="class", min_length=1, description="Name of the class in it.")
    parameters: dict[str, Any] = Field(default_factory=dict, description="What the class is made with, by name.")
    warmup: int = Field(
        default=30,
        ge=0,
        le=1_000_000,
        description="Readings learned before the first score; of a fleet detector its own count holds.",
    )

    @model_validator(mode="after")
    def _works(self) -> Self:
        make(load_class(self.path, self.class_), self)
        return self


class UserFile(Detector):
    """One object of a user's class for each slot, or a user's own fleet detector.

    A class with `score(value, time)` and `learn(value, time)` is made once for each series: `score` gives decades
    (-log10 of the probability of a reading this odd, 0 to 12) and changes nothing, `learn` takes the reading in; values
    are floats, times nanoseconds since the epoch. A class derived from `driftline.api.Detector` keeps the
    state of all series itself, and is used as it is. The objects are saved by pickle; a state saved under another
    version of the file is refused, so that a changed detector starts anew.

    Works: for rules and models that this catalogue lacks. Fails: by the file's own errors: a reading on which `score`
    or `learn` raises, or gives no number, has no score, and the log has the file's line, once for each such error.

    Cost: about 1 us a reading and the class's own time. Memory: the object's own and 8 bytes a slot. Source: the
    user's; the interface is that of this package.
    """

    name: ClassVar[str] = "file"
    Parameters: ClassVar[type[BaseModel]] = UserFileParameters

    @classmethod
    def examples(cls) -> tuple[Mapping[str, object], ...]:
        """A class of one series, and a fleet detector, of the file that the documentation shows."""
        return (
            {"path": str(EXAMPLE), "class": "Jump", "parameters": {"usual": 0.5}},
            {"path": str(EXAMPLE), "class": "Everywhere"},
        )

    def __init__(self, parameters: UserFileParameters) -> None:
        super().__init__(parameters)
        self.settings = parameters
        self.kind = load_class(parameters.path, parameters.class_)
        made = make(self.kind, parameters)
        self.own = made if isinstance(made, Detector) else None
        self.version = hashlib.sha256(Path(parameters.path).read_bytes()).hexdigest()
        self.objects: list[Any] = []
        self._said: set[str] = set()
        self.count = np.zeros(0, np.int64)

    def grow(self, size: int) -> None:
        """Make room for slots 0 to `size` - 1; a slot's object is made when its first reading comes."""
        if size <= self.size:
            return
        if self.own is not None:
            self.own.grow(size)
        else:
            self.objects.extend([None] * (size - self.size))
            self.count = np.concatenate([self.count, np.zeros(size - self.size, np.int64)])
        self.size = size

    def step(
        self,
        slot: NDArray[np.int32],
        time: NDArray[np.int64],
        value: NDArray[np.float64],
        learn: NDArray[np.bool_],
    ) -> Scores:
        """Let the user's code score each reading, then learn it where `learn`; what it raises is logged."""
        inputs = take_inputs(self.size, slot, time, value, learn)
        if self.own is not None:
            try:
                return self.own.step(*inputs)
            except Exception as error:
                self._say(_where(error, self.settings.path))
                return empty_scores(len(inputs.slot))
        scores = empty_scores(len(inputs.slot))
        rows = zip(*(array.tolist() for array in inputs), strict=True)
        for i, (k, at, reading, learned) in enumerate(rows):
            if not math.isfinite(reading):
                continue
            one = self.objects[k] if self.objects[k] is not None else make(self.kind, self.settings)
            try:
                if self.count[k] >= self.settings.warmup:
                    scores.score[i] = self._checked(one.score(reading, at))
                if learned:
                    one.learn(reading, at)
            except Exception as error:
                self._say(_where(error, self.settings.path))
            if learned:
                self.objects[k] = one
                self.count[k] += 1
        return scores

    def warming(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Readings learned, and `warmup` needed; of a fleet detector what it says itself."""
        if self.own is not None:
            return self.own.warming()
        return self.count.copy(), np.full(self.size, self.settings.warmup, np.int64)

    @property
    def bytes_per_slot(self) -> int:
        """Bytes of a fleet detector's slot, or of a fresh object as saved; what it grows to is the user's to know."""
        if self.own is not None:
            return self.own.bytes_per_slot
        return len(pickle.dumps(make(self.kind, self.settings), protocol=5)) + 16

    def state(self) -> State:
        """`version` of the file, and the fleet detector's own arrays, or `count` (size,) and pickled objects: slot k's
        at `objects[offsets[k]:offsets[k + 1]]`."""
        version = np.array([self.version], "U64")
        if self.own is not None:
            return {**self.own.state(), "version": version}
        pickled = [b"" if one is None else pickle.dumps(one, protocol=5) for one in self.objects]
        offsets = np.concatenate([[0], np.cumsum([len(each) for each in pickled], dtype=np.int64)]).astype(np.int64)
        objects = np.frombuffer(b"".join(pickled), np.uint8).copy()
        return {"count": self.count.copy(), "objects": objects, "offsets": offsets, "version": version}

    def load(self, state: State) -> None:
        """Replace the objects. They are unpickled, which runs code: load only what this program has saved.

        Raises ValueError where arrays do not fit or another version of the file saved them.
        """
        version = state.get("version")
        if version is None or version.shape != (1,) or str(version[0]) != self.version:
            raise ValueError(f"file state: expected one saved by this version of {self.settings.path}; got another's")
        rest = {name: array for name, array in state.items() if name != "version"}
        if self.own is not None:
            self.own.load(rest)
            self.size = self.own.size
            return
        if set(rest) != {"count", "objects", "offsets"}:
            raise ValueError(f"file state: expected arrays count, objects, offsets, version; got {sorted(state)}")
        size = check_state({"count": rest["count"]}, {"count": Column(np.int64)}, self.name)
        offsets, objects = rest["offsets"], rest["objects"]
        if offsets.dtype != np.int64 or offsets.shape != (size + 1,):
            raise ValueError(f"file state: offsets: expected int64 ({size + 1},), got {offsets.dtype} {offsets.shape}")
        if objects.dtype != np.uint8 or objects.shape != (offsets[-1],):
            raise ValueError(
                f"file state: objects: expected uint8 ({offsets[-1]},), got {objects.dtype} {objects.shape}"
            )
        content = objects.tobytes()
        self.objects = [
            pickle.loads(content[start:end]) if end > start else None for start, end in pairwise(offsets.tolist())
        ]
        self.count = np.array(rest["count"], np.int64)
        self.size = size

    def _checked(self, given: object) -> float:
        try:
            score = float(given)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            score = math.nan
        if not score >= 0.0:
            raise TypeError(f"{self.settings.class_}.score: expected a number of 0 or more, got {given!r}")
        return min(score, MAX_SCORE)

    def _say(self, error: str) -> None:
        if error not in self._said and len(self._said) < _MOST_SAID:
            self._said.add(error)
            log.error("a reading has no score: %s", error)


def load_class(path: str, name: str) -> type:
    """The class of this name in a Python file. Raises UserFileError naming file, line and what was expected."""
    file = Path(path)
    try:
        source = file.read_bytes()
    except OSError as error:
        raise UserFileError(f"{path}: cannot be read: {error.strerror}") from None
    # A name made from the content, under which pickle finds the class again; a changed file is a module of its own.
    module_name = f"driftline_user_{hashlib.sha256(str(file.resolve()).encode() + source).hexdigest()[:16]}"
    module = sys.modules.get(module_name)
    if module is None:
        module = ModuleType(module_name)
        module.__file__ = path
        sys.modules[module_name] = module
        admit_former_names()
        try:
            exec(compile(source, path, "exec"), module.__dict__)
        except Exception as error:
            del sys.modules[module_name]
            raise UserFileError(_where(error, path)) from error
    own = {
        found: kind for found, kind in vars(module).items() if isinstance(kind, type) and kind.__module__ == module_name
    }
    if name not in own:
        raise UserFileError(f"{path}: expected a class {name!r}; it has {', '.join(sorted(own)) or 'none'}")
    kind = own[name]
    missing = [method for method in ("score", "learn") if not callable(getattr(kind, method, None))]
    if missing and not issubclass(kind, Detector):
        line = _line_of(source, name)
        raise UserFileError(
            f"{path}:{line}: class {name}: expected methods score(self, value, time) and learn(self, value, time), or "
            f"a class derived from driftline.api.Detector; {' and '.join(missing)} is missing"
        )
    return kind


def make(kind: type, settings: UserFileParameters) -> Any:
    """A fresh object of the user's class. Raises UserFileError where it cannot be made, or not be copied and saved."""
    path, name = settings.path, settings.class_
    try:
        if issubclass(kind, Detector):
            return kind(kind.Parameters.model_validate(settings.parameters))
        made = kind(**copy.deepcopy(settings.parameters))
    except ValidationError as error:
        found = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise UserFileError(f"{path}: class {name}: parameters: {found}") from None
    except Exception as error:
        raise UserFileError(f"{_where(error, path)} (making {name} with parameters {settings.parameters})") from error
    try:
        pickle.dumps(made, protocol=5)
    except Exception as error:
        raise UserFileError(f"{path}: class {name}: expected objects that pickle can save: {error}") from None
    return made


def _where(error: BaseException, path: str) -> str:
    """The user's file and line that an error comes from, and the error."""
    said = f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError) and error.filename == path:
        return f"{path}:{error.lineno}: {type(error).__name__}: {error.msg}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    return f"{path}:{lines[-1]}: {said}" if lines else f"{path}: {said}"


def _line_of(source: bytes, name: str) -> int:
    lines = source.decode(errors="replace").splitlines()
    return next((number for number, line in enumerate(lines, 1) if line.startswith(f"class {name}")), 1)
