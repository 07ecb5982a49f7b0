"""One function in its process: what a caller gets where the handler does well, and where it does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from functions.function_settings import FunctionSettings
from functions.runner import Call, FunctionRunner, load_error

HANDLER = """
import os, sys

def handler(event, context):
    print("got", event["do"])
    if event["do"] == "raise":
        raise RuntimeError("no such pump")
    if event["do"] == "hang":
        while True:
            pass
    if event["do"] == "leak":
        held = []
        while True:
            held.append(bytearray(1 << 20))
    if event["do"] == "die":
        os.kill(os.getpid(), 9)
    if event["do"] == "leave":
        sys.exit(3)
    if event["do"] == "set":
        return {1}
    if event["do"] == "act":
        return context.act("label", labels={"line": "2"})
    if event["do"] == "environment":
        return sorted(set(os.environ) - {"LC_CTYPE"})
    return [event, context.idempotency_key, context.attempt, context.trigger, 0 < context.time_left() <= 30]
"""


class Recorded:
    """Actions as they were asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any], str, str]] = []

    def act(self, action: str, parameters: Mapping[str, Any], *, function: str, key: str, **_: object) -> Any:
        self.asked.append((action, dict(parameters), function, key))
        if parameters.get("labels") == {"line": "2"}:
            return "labelled"
        raise ValueError("it is not there")


@pytest.fixture
def actions() -> Recorded:
    return Recorded()


@pytest.fixture
def runner(tmp_path: Path, actions: Recorded) -> Iterator[FunctionRunner]:
    file = tmp_path / "handler.py"
    file.write_text(HANDLER)
    runner = FunctionRunner(FunctionSettings(name="f", file=file, memory_mib=64), actions, clock=lambda: 7)
    yield runner
    runner.stop()


def call(do: str, **more: Any) -> Call:
    return Call({"do": do}, "key-1", {"type": "http"}, **more)


def test_a_call_gives_what_the_handler_returns_and_the_process_stays(runner: FunctionRunner) -> None:
    outcome, first = runner.call(call("return", attempt=2))
    assert outcome.result == [{"do": "return"}, "key-1", 2, {"type": "http"}, True]
    assert (first.outcome, first.cold, first.logs, first.started) == ("ok", True, ["info: got return"], 7)
    assert 4 << 20 < first.memory < 64 << 20
    _, second = runner.call(call("return"))
    assert (second.cold, second.request_id == first.request_id) == (False, False)


@pytest.mark.parametrize(
    ("do", "kind", "sentence"),
    [
        ("raise", "error", "RuntimeError: no such pump (handler.py, line 7)"),
        ("set", "error", "TypeError: what the handler returned cannot be written as JSON: Object of type set is not "),
        ("leave", "error", "SystemExit: 3 (handler.py, line 18)"),
        ("leak", "memory", "MemoryError: more than 64 MiB, its memory_mib"),
        ("die", "crash", "the process ended in the middle of the call: signal 9 (SIGKILL)"),
    ],
)
def test_what_goes_wrong_is_told_in_a_sentence_and_the_next_call_is_well(
    runner: FunctionRunner, do: str, kind: str, sentence: str
) -> None:
    outcome, record = runner.call(call(do))
    assert (outcome.kind, record.outcome) == (kind, kind)
    assert outcome.error.startswith(sentence)
    assert record.logs[0] == f"info: got {do}"
    after, record = runner.call(call("return"))
    assert (after.kind, record.cold) == ("ok", kind in ("memory", "crash"))


def test_an_endless_loop_is_ended_at_its_timeout(tmp_path: Path, runner: FunctionRunner, actions: Recorded) -> None:
    settings = runner.settings.model_copy(update={"timeout": "300ms"})
    hanging = FunctionRunner(settings, actions, clock=lambda: 7)
    outcome, record = hanging.call(call("hang"))
    assert (outcome.kind, outcome.error) == ("timeout", "took longer than 0.3 s, its timeout, and was ended")
    assert record.logs == ["info: got hang"]
    assert hanging.pids == []


def test_a_handler_has_the_service_act_and_few_variables(
    tmp_path: Path, runner: FunctionRunner, actions: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "t")
    monkeypatch.setenv("OTHER", "o")
    outcome, _ = runner.call(call("act"))
    assert outcome.result == "labelled"
    assert actions.asked == [("label", {"labels": {"line": "2"}}, "f", "key-1")]
    chosen = {"environment": {"SITE": "north"}, "secrets": ["TOKEN"]}
    with_more = FunctionRunner(runner.settings.model_copy(update=chosen), actions, clock=lambda: 7)
    outcome, _ = with_more.call(call("environment"))
    with_more.stop()
    assert {"SITE", "TOKEN"} <= set(outcome.result)
    assert "OTHER" not in outcome.result


def test_a_file_that_was_changed_is_loaded_anew(runner: FunctionRunner) -> None:
    runner.call(call("return"))
    assert runner.settings.file is not None
    runner.settings.file.write_text("def handler(event, context):\n    return 'another'\n")
    outcome, record = runner.call(call("return"))
    assert (outcome.result, record.cold) == ("another", True)


def test_a_ready_made_action_is_filled_from_the_event(actions: Recorded) -> None:
    parameters = {"labels": {"line": "{fields.line}"}, "device": "{device}"}
    settings = FunctionSettings.model_validate({"name": "f", "action": "label", "with": parameters})
    runner = FunctionRunner(settings, actions, clock=lambda: 7)
    outcome, record = runner.call(Call({"device": "p", "fields": {"line": "2"}}, "k", {"type": "device"}))
    assert (outcome.result, record.memory, record.cold) == ("labelled", 0, False)
    assert actions.asked == [("label", {"labels": {"line": "2"}, "device": "p"}, "f", "k")]
    outcome, _ = runner.call(Call({"device": "p"}, "k", {"type": "device"}))
    assert outcome.error == 'with.labels.line: the event has no "fields.line" (its fields: device)'


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("def handler(event, context):\n    return 1\n", ""),
        ("x = 1\n", "LookupError: no handler: expected a function `handler(event, context)`"),
        ("import not_there\n", "ModuleNotFoundError: No module named 'not_there' (f.py, line 1)"),
        ("x = 1\ndef handler(:\n", "SyntaxError: invalid syntax (f.py, line 2) (f.py, line 2)"),
        ("import os\nos._exit(4)\n", "the process ended while it loaded the file: exit code 4"),
    ],
)
def test_a_file_that_does_not_load_is_told_of(tmp_path: Path, source: str, sentence: str) -> None:
    file = tmp_path / "f.py"
    file.write_text(source)
    expected = f"file: {file}: {sentence}" if sentence else ""
    assert load_error(FunctionSettings(name="f", file=file)) == expected
