"""Libraries of the optional extras: imported at their first use, with an error that says how to get a missing one."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType
from typing import Any


class MissingExtraError(ValueError):
    """A library that belongs to an extra is asked for and not installed; the message names both."""


def is_installed(module: str) -> bool:
    """Whether a module can be imported, without importing it; the packages that it is in are imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def how_to_install(extra: str) -> str:
    """What to type to get an extra: in a checkout, and where Driftline was installed as a package."""
    return f"make setup EXTRAS={extra}, or: pip install 'driftline[{extra}]'"


def require(module: str, *, extra: str, purpose: str) -> None:
    """Raise MissingExtraError where a module of an extra is not installed; `purpose` begins its sentence."""
    if not is_installed(module):
        raise MissingExtraError(
            f"{purpose} needs the library {module}, which is not installed: {how_to_install(extra)}"
        )


class OptionalModule(ModuleType):
    """Stands for a module until one of its names is used; then the real one is imported.

    Any use raises MissingExtraError where the library is not installed.
    """

    def __init__(self, module: str, extra: str, purpose: str) -> None:
        super().__init__(module)
        self._extra = extra
        self._purpose = purpose

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            module = importlib.import_module(self.__name__)
        except ModuleNotFoundError as error:
            if error.name != self.__name__.partition(".")[0]:
                raise
            require(error.name, extra=self._extra, purpose=self._purpose)
            raise
        value = getattr(module, name)
        setattr(self, name, value)
        return value


def optional(module: str, *, extra: str, purpose: str) -> ModuleType:
    """A stand-in for `module` of the extra `extra`; `purpose` begins the error's sentence, as in "Reading Parquet"."""
    return OptionalModule(module, extra, purpose)
