"""Adding a kind of journal is one class and one line: another one is registered, configured, and run by the service."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any, ClassVar, Self

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from rich.console import Console

from devices.messages import MessageChunk
from driftline.config import parse_config
from driftline.config_errors import ConfigError
from driftline.runtime.service import Service
from storage.journal import journal_registry
from storage.journal.journal_registry import JOURNALS, journal_kind, make_journal
from storage.journal.sqlite_journal import SqliteJournal
from storage.storage_settings import JournalSettings
from storage.store import JournalEntry


class ListSettings(JournalSettings):
    """A setting that no other kind has."""

    shelf: int = 0


class ListJournal:
    """A journal in memory, as a log on another machine would be one: it outlives the service that appends to it."""

    place = "a list"
    size_bytes = 0
    first_position = 0

    def __init__(self) -> None:
        self.entries: list[JournalEntry] = []

    def open(self) -> Self:
        return self

    def close(self) -> None: ...

    @property
    def next_position(self) -> int:
        return len(self.entries)

    @property
    def next_offset(self) -> int:
        return sum(len(entry.chunk) for entry in self.entries)

    @property
    def last_arrival(self) -> int:
        return max((entry.chunk.ticked_at for entry in self.entries), default=0)

    def append(self, chunk: MessageChunk) -> int:
        self.entries.append(JournalEntry(self.next_position, self.next_offset, chunk))
        return self.entries[-1].position

    def read(self, position: int) -> Iterator[JournalEntry]:
        return iter(self.entries[position:])

    def newest_first(self) -> Iterator[MessageChunk]:
        return (entry.chunk for entry in reversed(self.entries))

    def go_on_from(self, position: int, offset: int) -> None:
        raise AssertionError(f"a list loses no tail: {position}, {offset}")

    def compact(self, before_position: int, now: int) -> int:
        return 0 * before_position * now


class ListKind:
    name: ClassVar[str] = "list"
    Settings: ClassVar[type[JournalSettings]] = ListSettings
    libraries: ClassVar[tuple[tuple[str, str], ...]] = (("lists", "a_module_of_lists"),)
    shelves: ClassVar[dict[int, ListJournal]] = {}

    @staticmethod
    def journal(path: Path, settings: JournalSettings) -> ListJournal:  # noqa: ARG004
        assert isinstance(settings, ListSettings)
        return ListKind.shelves.setdefault(settings.shelf, ListJournal())


@pytest.mark.service("mosquitto")
@pytest.mark.timeout(900)
def test_another_kind_is_one_class_and_one_line(
    tmp_path: Path, mosquitto: Any, wait_until: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_registry, "JOURNALS", (*JOURNALS, ListKind))
    text = (
        f'[broker]\nurl = "{mosquitto.url}"\n[http]\nport = 0\n'
        '[[routes]]\nfilter = "#"\ndetectors = []\n[journal]\ntype = "list"\nshelf = 7\n'
    )
    with pytest.raises(ConfigError, match="journal: needs the library a_module_of_lists, which is not installed"):
        parse_config(text)
    monkeypatch.setattr(ListKind, "libraries", ())
    service = Service(parse_config(text), var_dir=tmp_path / "var", console=Console(file=StringIO()))
    try:
        service.start()
        client = mqtt.Client(CallbackAPIVersion.VERSION2)
        wait_until(lambda: service.status.health().stages[0].status == "green", what="the subscription", within=240)
        client.connect(mosquitto.host, mosquitto.port)
        client.loop_start()
        client.publish("tank/level", "4.5", qos=1).wait_for_publish(20)
        client.loop_stop()
        wait_until(lambda: service.status.counts().stored == 1, what="the reading in the database", within=600)
    finally:
        service.stop()
    chunks = [entry.chunk for entry in ListKind.shelves[7].entries]
    assert [(chunk.topic(i), chunk.payload(i)) for chunk in chunks for i in range(len(chunk))] == [
        (b"tank/level", b"4.5")
    ]
    assert not (tmp_path / "var" / "journal.db").exists()


def test_the_embedded_journal_is_the_one_where_nothing_is_set(tmp_path: Path) -> None:
    settings = parse_config("").journal
    journal = make_journal(tmp_path / "journal.db", settings)
    assert isinstance(journal, SqliteJournal)
    assert journal.place == str(tmp_path / "journal.db")


def test_an_unknown_kind_is_named_with_those_known() -> None:
    with pytest.raises(
        ConfigError, match=r'journal\.type.*unknown kind of journal "sqlite" \(known: embedded, kafka\)'
    ):
        parse_config('[journal]\ntype = "sqlite"\n')


def test_every_kind_has_a_name_of_its_own_and_its_settings() -> None:
    assert len({kind.name for kind in JOURNALS}) == len(JOURNALS)
    for kind in JOURNALS:
        assert journal_kind(kind.name) is kind
        assert issubclass(kind.Settings, JournalSettings)
