"""Rows of streams over MQTT: what the broker takes, what it refuses, and what waited for too long, counted and said."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from devices.batch import Batch, ScoredBatch
from driftline.cli.command_line import main
from driftline.runtime.broker import BrokerHandle, start_broker
from driftline.runtime.data_folder import DataFolder
from driftline.runtime.function_actions import MessagePublisher
from driftline.runtime.stream_publisher import StreamPublisher
from ingest.broker_settings import BrokerSettings
from storage.embedded import stream_tables
from storage.embedded.database import EmbeddedStore
from storage.storage_settings import StoreSettings
from storage.store import StepOutput, StreamProgress, StreamResult

RESULT = StreamResult(
    "crowd", 0, 10**9, "", "final", 0, 7, (("n", "BIGINT"),), [(3,), (4,)], topic="rollups/crowd"
)  # fmt: skip
SECRET = replace(RESULT, stream="secret", topic="private/secret", rows=[(5,)])
REFUSED = "Not authorized (MQTT reason code 135)"

WaitUntil = Callable[..., None]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    with EmbeddedStore(tmp_path / "driftline.duckdb", StoreSettings(keep="1h")) as opened:
        yield opened


def put(store: EmbeddedStore, *results: StreamResult) -> None:
    progress = [StreamProgress(result.stream, {"windows": 1}, 0) for result in results]
    nothing = ScoredBatch.unscored(Batch.empty(), late=False)
    store.commit(
        StepOutput(store.position, store.position + 1, nothing, stream_results=list(results), stream_progress=progress)
    )


def counts(store: EmbeddedStore) -> dict[str, dict[str, int]]:
    return {name: stream.counts for name, stream in store.streams().items()}


@pytest.mark.service("mosquitto")
def test_what_the_broker_s_list_refuses_is_counted_and_said_and_the_rest_is_published(
    mosquitto: Any, store: EmbeddedStore, wait_until: WaitUntil
) -> None:
    (mosquitto.folder / "acl").write_text("topic readwrite rollups/#\n")
    mosquitto.stop()
    mosquitto.extra = f"acl_file {mosquitto.folder}/acl\n"
    mosquitto.start()
    put(store, RESULT, SECRET)
    publisher = StreamPublisher(store, BrokerSettings(url=mosquitto.url), None)
    publisher.start()
    wait_until(lambda: not store.waiting_messages(0) and publisher.problem, what="the broker's word")
    assert publisher.problem == f'the broker refuses the rows of stream "secret" on "private/secret": {REFUSED}'
    publisher.stop()
    assert counts(store) == {"crowd": {"windows": 1, "published": 2}, "secret": {"windows": 1, "refused": 1}}

    publish = MessagePublisher(BrokerSettings(url=mosquitto.url), None)
    publish("rollups/one", b"{}", retain=False)
    with pytest.raises(
        OSError, match='the broker refuses what is published on "private/one": Not authorized'
    ) as caught:
        publish("private/one", b"{}", retain=False)
    assert str(caught.value).endswith(REFUSED)
    publish.close()


@pytest.fixture
def embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BrokerHandle]:
    monkeypatch.setenv("PATH", "")
    broker = start_broker("auto", tmp_path / "broker")
    yield broker
    broker.stop()


def test_a_broker_that_speaks_3_1_1_alone_is_published_to(
    embedded: BrokerHandle, store: EmbeddedStore, wait_until: WaitUntil
) -> None:
    assert embedded.kind == "embedded"
    put(store, RESULT)
    publisher = StreamPublisher(store, BrokerSettings(url=embedded.url), None)
    publisher.start()
    wait_until(lambda: not store.waiting_messages(0), what="the rows to be taken")
    publisher.stop()
    assert (publisher.problem, counts(store)["crowd"]["published"]) == ("", 2)


def test_rows_that_wait_for_too_long_are_counted_and_said(
    store: EmbeddedStore, wait_until: WaitUntil, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_tables, "MOST_WAITING", 2)
    nobody = StreamPublisher(store, BrokerSettings(url="mqtt://127.0.0.1:1"), None)
    nobody.start()
    put(store, RESULT, SECRET)
    put(store, replace(RESULT, window_start=1, rows=[(6,)]))
    store.apply_retention(now=2 * 10**9)
    nobody.wake()
    said = "2 rows were not published since the start, since more than 100,000 waited"
    wait_until(lambda: said in nobody.problem, what="the sentence")
    nobody.stop()
    assert counts(store) == {"crowd": {"windows": 2, "unpublished": 2}, "secret": {"windows": 1}}
    assert [each.stream for each in store.waiting_messages(0)] == ["secret", "crowd"]


def test_the_list_tells_what_a_stream_left_out_and_could_not_deliver(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "driftline.toml").write_text(
        '[[streams]]\nname = "crowd"\nfrom = "readings"\nwindow = { size = "1s" }\n'
        'sql = "select count(*) as n from window"\nto = ["mqtt:rollups/crowd"]\n'
    )
    (tmp_path / "var").mkdir()
    counted = {"received": 90, "taken": 77, "late": 12, "over_limit": 1, "windows": 4, "rows": 4}
    with EmbeddedStore(DataFolder(tmp_path / "var").database, StoreSettings(keep="1h")) as store:
        nothing = ScoredBatch.unscored(Batch.empty(), late=False)
        store.commit(StepOutput(0, 1, nothing, stream_progress=[StreamProgress("crowd", counted, 10**9)]))
        store.forget_messages(0, {("crowd", "refused"): 1_500, ("crowd", "published"): 2})
    options = ["--data", str(tmp_path / "var"), "--config", str(tmp_path / "driftline.toml")]
    assert main(["streams", "list", *options]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[-2:] == [
        "crowd left 13 rows out: 12 late, 1 over the limit",
        "crowd could not deliver 1,500 answers: 1,500 refused by the broker",
    ]
    assert main(["streams", "list", *options, "--format", "json"]) == 0
    [listed] = json.loads(capsys.readouterr().out)
    assert (listed["received"], listed["late"], listed["undelivered"]) == (90, 12, 1_500)
