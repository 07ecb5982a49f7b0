"""Journal: the kinds of journals. One class a kind, one line in `JOURNALS`; nothing else names them.

What belongs to a kind is imported when it is used, since a client of a log on other machines may not be installed.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Protocol

from common.suggestions import unknown
from storage.journal.kafka_settings import EXTRA, LIBRARY
from storage.storage_settings import JournalSettings
from storage.store import Journal


class JournalKind(Protocol):
    """A kind of journal. `name` is its `type` in the configuration."""

    name: ClassVar[str]
    Settings: ClassVar[type[JournalSettings]]
    libraries: ClassVar[tuple[tuple[str, str], ...]]
    """What it needs beyond running: extra and module."""

    @staticmethod
    def journal(path: Path, settings: JournalSettings) -> Journal:
        """The journal under these settings, not yet open; `path` is its place in the data folder, where it has one."""
        ...


class EmbeddedJournal:
    """One SQLite file in the data folder."""

    name: ClassVar[str] = "embedded"
    Settings: ClassVar[type[JournalSettings]] = JournalSettings
    libraries: ClassVar[tuple[tuple[str, str], ...]] = ()

    @staticmethod
    def journal(path: Path, settings: JournalSettings) -> Journal:
        """The file at `path`."""
        from storage.journal.sqlite_journal import SqliteJournal  # noqa: PLC0415  with what it is made of

        return SqliteJournal(path, settings)


class KafkaKind:
    """A Kafka topic, which receivers write; what was read of it is kept in a file in the data folder."""

    name: ClassVar[str] = "kafka"
    Settings: ClassVar[type[JournalSettings]] = JournalSettings
    libraries: ClassVar[tuple[tuple[str, str], ...]] = ((EXTRA, LIBRARY),)

    @staticmethod
    def journal(path: Path, settings: JournalSettings) -> Journal:
        """The file at `path`."""
        from storage.journal.kafka_journal import KafkaJournal  # noqa: PLC0415  with what it is made of

        return KafkaJournal(path, settings)


JOURNALS: tuple[type[JournalKind], ...] = (EmbeddedJournal, KafkaKind)
"""Every kind of journal."""


def journal_kind(name: str) -> type[JournalKind]:
    """The kind of that name. Raises ValueError with the nearest known name."""
    for kind in JOURNALS:
        if kind.name == name:
            return kind
    raise ValueError(unknown(name, [kind.name for kind in JOURNALS], "kind of journal"))


def journal_libraries(name: object) -> tuple[tuple[str, str], ...]:
    """Extra and module of what a kind needs; nothing for a name that no kind has."""
    return next((kind.libraries for kind in JOURNALS if kind.name == name), ())


def make_journal(path: Path, settings: JournalSettings) -> Journal:
    """The journal that the settings ask for, not yet open."""
    return journal_kind(settings.type).journal(path, settings)


def journal_of_its_kind(table: object) -> object:
    """The table `[journal]`, as the settings model of its kind where that has one of its own.

    Else it is left to `JournalSettings`, and so is what is wrong in it. Raises ValueError.
    """
    name = table.get("type") if isinstance(table, dict) else None
    kind = next((kind for kind in JOURNALS if kind.name == name), None)
    return table if kind is None or kind.Settings is JournalSettings else kind.Settings.model_validate(table)
