"""Handlers that fork, leave threads behind, or give what is no text: each call still gets its own answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from functions.dispatcher import Dispatcher
from functions.function_queue import FunctionQueue
from functions.function_settings import FunctionSettings
from functions.runner import Call, FunctionRunner
from storage.store import FunctionEvent
from tests.functions.test_runner import Recorded

NOW = 1_772_366_400_000_000_000
HANDLER = r"""
import json, multiprocessing, os, struct, threading

def square(number):
    print("child", number)
    return number * number

late = threading.Event()

def behind(context):
    late.wait()
    print("from the call before")
    try:
        context.act("label", labels={"line": "2"})
    except Exception as error:
        said.append(str(error))

said = []

def handler(event, context):
    do = event["do"]
    if do == "fork":
        child = os.fork()
        if child:
            os.waitpid(child, 0)
        return ["parent", child > 0]
    if do == "pool":
        with multiprocessing.get_context("fork").Pool(2) as pool:
            return pool.map(square, [1, 2, 3])
    if do == "forge":
        body = json.dumps({"kind": "done", "id": "another", "result": "forged", "memory": 1}).encode()
        context._channel._link.sendall(struct.pack(">I", len(body)) + body)
    if do == "leave":
        thread = threading.Thread(target=behind, args=(context,))
        thread.start()
        handler.thread = thread
        return "left"
    if do == "told":
        late.set()
        handler.thread.join()
        return said
    if do == "print":
        print("half \ud800 of a pair, and \U0001f600 whole")
    if do == "raise":
        raise RuntimeError("half \udfff of a pair")
    if do == "return":
        return {"\ud800": ["\udc00"]}
    if do == "great":
        return 2**70
    if do == "long":
        raise RuntimeError("x" * 100_000)
    return do
"""


@pytest.fixture
def settings(tmp_path: Path) -> FunctionSettings:
    file = tmp_path / "handler.py"
    file.write_text(HANDLER)
    return FunctionSettings(name="f", file=file, backoff="10s", retries=2)


@pytest.fixture
def run(settings: FunctionSettings) -> Iterator[Callable[[str], tuple[str, Any, list[str]]]]:
    runner = FunctionRunner(settings, Recorded(), clock=lambda: 7)

    def call(do: str) -> tuple[str, Any, list[str]]:
        outcome, record = runner.call(Call({"do": do}, do, {"type": "http"}))
        return outcome.kind, outcome.result if outcome.kind == "ok" else outcome.error, record.logs

    yield call
    runner.stop()


Run = Callable[[str], tuple[str, Any, list[str]]]


def test_a_forked_child_answers_no_call(run: Run) -> None:
    assert run("fork") == ("ok", ["parent", True], [])
    assert [run(f"call {n}")[1] for n in range(3)] == ["call 0", "call 1", "call 2"]
    assert run("pool") == ("ok", [1, 4, 9], [])
    assert run("after") == ("ok", "after", [])


def test_a_message_of_another_call_ends_the_process(run: Run) -> None:
    assert run("forge") == ("crash", "its process answered for another call, and was ended", [])
    assert run("after") == ("ok", "after", [])


def test_a_thread_that_a_call_leaves_behind_may_not_act_for_the_next_one(run: Run) -> None:
    assert run("leave")[1] == "left"
    kind, said, _ = run("told")
    expected = "only the call itself may act, while it lasts, in the process that was called"
    assert (kind, said) == ("ok", [expected])


def test_what_is_no_text_and_what_is_no_json_is_told_and_the_call_has_an_end(run: Run) -> None:
    assert run("print") == ("ok", "print", ["info: half ? of a pair, and \U0001f600 whole"])
    kind, error, logs = run("raise")
    assert (kind, error[:40]) == ("error", "RuntimeError: half ? of a pair (handler.")
    assert "half \\udfff of a pair" in logs[0]
    assert run("return") == ("ok", {"?": ["?"]}, [])
    expected = "what the handler returned cannot be written as JSON: Integer exceeds 64-bit range"
    assert run("great") == ("error", expected, [])
    kind, error, _ = run("long")
    assert (kind, error.removeprefix("RuntimeError: " + "x" * 4_096)[:25]) == ("error", " ... (cut at 4 KiB) (hand")


def test_what_no_one_foresaw_counts_as_a_failed_try_and_has_its_pause(
    tmp_path: Path, settings: FunctionSettings, wait_until: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: FunctionRunner, __: Call) -> Any:
        raise RuntimeError("nobody foresaw it")

    monkeypatch.setattr(FunctionRunner, "call", broken)
    with FunctionQueue(tmp_path / "functions.db") as queue:
        queue.put(FunctionEvent("f", "k", 0, -1, NOW, {"type": "device"}, orjson.dumps({"do": "x"})))
        dispatcher = Dispatcher(queue, [settings], Recorded(), clock=lambda: NOW)
        dispatcher.start()
        wait_until(lambda: [each.tries for each in queue.due("f", NOW + 10_000_000_000, 9)] == [1])
        dispatcher.stop()
        [waiting] = queue.due("f", NOW + 10_000_000_000, 9)
        assert queue.due("f", NOW + 9_999_999_999, 9) == [], "its pause is ten seconds"
        assert waiting.error == "RuntimeError: nobody foresaw it; see the service's log"
