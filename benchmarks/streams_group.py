"""Continuous SQL: what a stream costs a message, and how soon a window of 50,000 rows is answered."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from benchmarks.setting import Setting
from devices.messages import MessageChunk
from driftline.config import Config, parse_config
from driftline.runtime.recovery import new_engine
from storage.store import JournalEntry

GROUP = "Continuous SQL: distinct users a second by platform and quadrant, 50,000 messages a second"

MESSAGES_A_SECOND = 50_000
PHONES = 500
SECONDS = 20
_CHUNK = 1_000
_START = 1_750_000_000_000_000_000
_STREAM = '''
[[streams]]
name = "distinct_users"
from = "readings"
window = { type = "tumbling", size = "1s" }
lateness = "0s"
sql = """select count(distinct device) as unique_user_count,
                count(distinct device) filter (where os = 'Android') as android_count,
                count(distinct device) filter (where quadrant = 'A') as quadrant_a_count
         from window"""
'''


@dataclass(frozen=True, slots=True)
class Stepped:
    """CPU seconds a message, and the wall seconds of each step that answered a window, from its last message on."""

    cpu: float
    answers: list[float]


def chunks(seconds: int) -> list[MessageChunk]:
    """Messages of the crowd, evenly spread."""
    made = []
    gap = 1_000_000_000 // MESSAGES_A_SECOND
    for start in range(0, seconds * MESSAGES_A_SECOND, _CHUNK):
        messages = []
        for number in range(start, start + _CHUNK):
            phone = number % PHONES
            system, quadrant = ("Android", "iOS")[phone % 2], "ABCD"[phone % 4]
            body = f'{{"os": "{system}", "quadrant": "{quadrant}"}}'.encode()
            messages.append((b"audience/phone-%03d" % phone, body, _START + number * gap, 0))
        made.append(MessageChunk.of(messages))
    return made


def step_through(config: Config, crowd: list[MessageChunk]) -> Stepped:
    """Run an engine over the crowd; the first two seconds are not measured."""
    engine = new_engine(config, [])
    warm = 2 * MESSAGES_A_SECOND // _CHUNK
    answers: list[float] = []
    cpu = 0.0
    for number, chunk in enumerate(crowd):
        began, used = time.perf_counter(), time.process_time()
        output = engine.step(JournalEntry(number, number * _CHUNK, chunk))
        if number >= warm:
            cpu += time.process_time() - used
            if output.stream_results:
                answers.append(time.perf_counter() - began)
    return Stepped(cpu / ((len(crowd) - warm) * _CHUNK), answers)


def run(setting: Setting) -> None:
    """Add the figures."""
    crowd = chunks(SECONDS)
    for _ in range(setting.runs):
        setting.say("continuous SQL")
        without = step_through(parse_config(""), crowd)
        asked = step_through(parse_config(_STREAM), crowd)
        add = setting.figures.add
        add(GROUP, "engine without a stream, CPU a message", without.cpu * 1e6, "µs")
        add(GROUP, "engine with the stream, CPU a message", asked.cpu * 1e6, "µs")
        add(GROUP, "the stream itself, CPU a message", (asked.cpu - without.cpu) * 1e6, "µs")
        add(
            GROUP,
            "from the message that completes a window to its row, p99",
            float(np.percentile(asked.answers, 99)) * 1e3,
            "ms",
            note="windows of 50,000 rows; the row is stored with the next commit",
        )
