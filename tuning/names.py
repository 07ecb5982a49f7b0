"""Beside the flow: the benchmarks by name, in a module that costs nothing to import."""

from enum import StrEnum


class CorpusName(StrEnum):
    """A benchmark that can be run."""

    NAB = "nab"
    UCR = "ucr"
    SKAB = "skab"
