"""Benchmarks and sets of seeds by name, in a module that costs nothing to import."""

from enum import StrEnum


class CorpusName(StrEnum):
    """A benchmark that can be run."""

    NAB = "nab"
    UCR = "ucr"
    SKAB = "skab"


class SeedSet(StrEnum):
    """Which seeds: those that constants may be chosen on, or those that figures are reported on."""

    TUNING = "tuning"
    REPORTING = "reporting"
