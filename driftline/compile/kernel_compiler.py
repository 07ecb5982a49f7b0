"""Kernels that are not in the cache yet are compiled in processes beside the service's own."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Sequence

from driftline.compile.kernel_cache import CompiledNote

RECEIVING, DECODING, WHOLE_WAY = "receiving", "decoding", "the whole way"
DETECTOR = "detector "
_SECONDS = {DETECTOR + "ensemble": 8, DETECTOR + "special_signals": 7, DECODING: 5, WHOLE_WAY: 5}
_SECONDS_OF_OTHERS = 2
"""About how long the steps take, to give two processes the same."""


def steps_for(detectors: Iterable[str]) -> list[str]:
    """What a service needs that scores with detectors of these types; for receiving it sees to itself."""
    types = dict.fromkeys(detectors)
    if "ensemble" in types:
        # The default asks the channels for special signals, which have a kernel of their own.
        types["special_signals"] = None
    return [DECODING, *(DETECTOR + name for name in types), WHOLE_WAY]


class KernelCompiler:
    """Compiles what is not in the cache yet, in two processes beside this one. `say` gets each step's name before it.

    `start` returns at once, `wait` when all is done; a step that fails is left to its first use.
    """

    def __init__(self, steps: Sequence[str], say: Callable[[str], None], note: CompiledNote | None = None) -> None:
        self._steps = steps
        self._say = say
        self._note = note or CompiledNote()
        self._processes: list[subprocess.Popen[str]] = []
        self._readers: list[threading.Thread] = []
        self._under_way: dict[int, str] = {}

    @property
    def under_way(self) -> str:
        """The steps that are running now; empty where none is."""
        return ", ".join(self._under_way.values())

    def start(self) -> None:
        """Begin, where anything is missing and there is a cache to keep it in."""
        missing = [step for step in self._steps if step not in self._note.steps()]
        if not missing or not self._note.writable:
            return
        for number, share in enumerate(_shares(missing)):
            command = [sys.executable, "-m", "driftline.compile", *share]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
            self._under_way[number] = share[0]
            reader = threading.Thread(target=self._read, args=(number, process), name="compiling", daemon=True)
            reader.start()
            self._processes.append(process)
            self._readers.append(reader)

    def wait(self) -> None:
        """Return when all steps are done, or when they were stopped."""
        if not self._processes:
            return
        for reader in self._readers:
            reader.join()
        if all(process.wait() == 0 for process in self._processes):
            self._note.add(self._steps)

    def stop(self) -> None:
        """End what is running."""
        for process in self._processes:
            if process.poll() is None:
                process.terminate()
        self.wait()

    def _read(self, number: int, process: subprocess.Popen[str]) -> None:
        if process.stdout is not None:
            with process.stdout as lines:
                for line in lines:
                    self._under_way[number] = line.strip()
                    self._say(line.strip())
        self._under_way.pop(number)


def _shares(steps: Sequence[str]) -> list[list[str]]:
    """The steps as two lists that take about as long; no list is empty.

    The whole way decodes too, so that decoding comes first and the whole way last: else both lists compile it.
    """
    shares: tuple[list[str], list[str]] = ([], [])
    taken = [0, 0]
    for step in sorted(steps, key=lambda step: -_SECONDS.get(step, _SECONDS_OF_OTHERS)):
        lighter = taken.index(min(taken))
        shares[lighter].append(step)
        taken[lighter] += _SECONDS.get(step, _SECONDS_OF_OTHERS)
    for share in shares:
        share.sort(key=lambda step: (step != DECODING, step == WHOLE_WAY))
    return [share for share in shares if share]
