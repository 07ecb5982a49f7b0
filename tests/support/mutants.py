"""Mutation testing, sampled: `make mutants ROOM=alerts ARGS="--sample 40"`.

Puts one small bug at a time into a copy of the project, and runs those of the room's own tests over it that call the
changed function, the quickest first. A mutant that no test notices lives, and is named with its place. The sample is
drawn by a seed, so that a run can be repeated; mutants that change nothing that can be seen are among the living, so
100 % is not to be had. With `--record` the share stands in `benchmarks/mutants.json`.

Source: DeMillo, Lipton, Sayward, "Hints on test data selection", Computer 11(4), 1978.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib
import json
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import functions_reached
import pytest

from driftline.compile.kernel_cache import drop_stale_kernels

ROOT = Path(__file__).resolve().parents[2]
RECORD = ROOT / "benchmarks" / "mutants.json"
_OPTIONS = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:schemathesis"]
FOLDERS = {"firmware_sim": "firmware-sim/firmware_sim"}
CONTRACTS = {
    "detectors": ["tests/contracts/test_detectors.py", "tests/contracts/test_detector_states.py"],
    "devices": ["tests/contracts/test_codecs.py"],
    "storage": ["tests/contracts/test_stores.py"],
}
COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
CALCULATED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
}  # fmt: skip
_COMPILERS = {"njit", "subkernel"}
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}


@dataclass(frozen=True)
class Mutant:
    """One changed file: where the change is, and how it reads before and after."""

    path: Path
    line: int
    function: int
    """First line of the function around it, decorators included."""
    is_compiled: bool
    before: str
    after: str
    source: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.before}  ->  {self.after}"


def changes(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that may stand in place of one; none where it is not of a kind that is changed."""
    other = copy.deepcopy(node)
    if isinstance(other, ast.Compare) and type(other.ops[0]) in COMPARED:
        other.ops[0] = COMPARED[type(other.ops[0])]()
    elif isinstance(other, ast.BinOp) and type(other.op) in CALCULATED and not isinstance(other.left, ast.JoinedStr):
        other.op = CALCULATED[type(other.op)]()
    elif isinstance(other, ast.BoolOp):
        other.op = ast.Or() if isinstance(other.op, ast.And) else ast.And()
    elif isinstance(other, ast.UnaryOp) and isinstance(other.op, ast.Not):
        yield other.operand
        return
    elif isinstance(other, ast.Constant) and isinstance(other.value, bool):
        other.value = not other.value
    elif isinstance(other, ast.Constant) and isinstance(other.value, int | float):
        other.value += 1
    elif isinstance(other, ast.Name) and other.id in NAMES and isinstance(other.ctx, ast.Load):
        other.id = NAMES[other.id]
    elif isinstance(other, ast.Break):
        other = ast.Continue()
    else:
        return
    yield ast.copy_location(other, node)


class _Put(ast.NodeTransformer):
    """Puts one node in another's place."""

    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self._old, self._new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return self._new if node is self._old else super().generic_visit(node)


def within_functions(tree: ast.Module) -> dict[ast.AST, ast.FunctionDef]:
    """What runs: the nodes of functions' bodies without annotations and defaults, with the innermost function."""
    found: dict[ast.AST, ast.FunctionDef] = {}
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            for statement in function.body:
                nodes = (node for node in ast.walk(statement) if not isinstance(node, ast.FunctionDef))
                found.update(dict.fromkeys(nodes, function))
    return found


def _first_line(function: ast.FunctionDef) -> int:
    return min([function.lineno, *(each.lineno for each in function.decorator_list)])


def _is_compiled(function: ast.FunctionDef) -> bool:
    return any(ast.unparse(each).partition("(")[0] in _COMPILERS for each in function.decorator_list)


def mutants(path: Path) -> Iterator[Mutant]:
    """Every mutant of one file."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    for node, function in within_functions(tree).items():
        for new in changes(node):
            changed = ast.fix_missing_locations(_Put(node, new).visit(tree))
            source = ast.unparse(changed)
            _Put(new, node).visit(tree)
            yield Mutant(
                path=path,
                line=getattr(node, "lineno", 0),
                function=_first_line(function),
                is_compiled=_is_compiled(function),
                before=ast.unparse(node),
                after=ast.unparse(new),
                source=source,
            )


def tests_by_function(copied: Path, tests: Sequence[str]) -> dict[str, list[str]]:
    """By a function's place ("alerts/policy.py:12"), the tests that call it, the quickest first.

    What runs at import alone is a matter of all tests. They run once before they are watched, so that what is compiled
    is compiled by then. Raises SystemExit where a test fails although nothing was changed.
    """
    target = copied / "functions-reached.json"
    environment = _environment(copied) | {functions_reached.TARGET_VARIABLE: str(target)}
    for plugin in ((), ("-p", "functions_reached")):
        command = [sys.executable, "-m", "pytest", *_OPTIONS, "--timeout=0", *plugin, *tests]
        ran = subprocess.run(command, cwd=copied, env=environment, capture_output=True, text=True, check=False)
        if ran.returncode != 0:
            raise SystemExit(f"the tests fail without any change:\n{ran.stdout[-2_000:]}{ran.stderr[-2_000:]}")
    told = json.loads(target.read_text())
    _, at_import = told.pop(functions_reached.COLLECTED)
    found: dict[str, list[str]] = {}
    for test, (_, places) in sorted(told.items(), key=lambda each: each[1][0]):
        for place in places:
            found.setdefault(place, []).append(test)
    return {place: list(tests) for place in at_import} | found


def is_killed(copied: Path, mutant: Mutant, tests: Sequence[str], seconds: float) -> bool:
    """Whether one of the tests fails, or none ends in time, with the mutant in the copied project.

    They run in a fork of this process, where the libraries are loaded already: loading them takes longer than most
    tests do.
    """
    target = copied / mutant.path
    whole = target.read_text(encoding="utf-8")
    target.write_text(mutant.source, encoding="utf-8")
    running = multiprocessing.get_context("fork").Process(target=_run_tests, args=(copied, list(tests)))
    try:
        running.start()
        running.join(seconds)
        if running.exitcode is None:
            running.kill()
            running.join()
            return True
    finally:
        target.write_text(whole, encoding="utf-8")
    return running.exitcode not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)


def _run_tests(copied: Path, tests: list[str]) -> None:
    os.chdir(copied)
    os.environ.update(_environment(copied))
    sys.path[:0] = os.environ["PYTHONPATH"].split(os.pathsep)
    sys.dont_write_bytecode = True
    # Numba misses a change in a kernel that another file calls: of this mutant, and of the one before.
    drop_stale_kernels(copied)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    code = pytest.main([*_OPTIONS, *tests])
    if code == pytest.ExitCode.USAGE_ERROR:  # a test that has another name in each run: all tests of the files
        code = pytest.main([*_OPTIONS, *dict.fromkeys(test.partition("::")[0] for test in tests)])
    sys.exit(int(code))


def load_libraries() -> None:
    """What most tests need of others; nothing of the project, which each run loads anew."""
    for name in ("numba", "duckdb", "pydantic", "fastapi", "hypothesis", "paho.mqtt.client", "httpx", "rich.console"):
        importlib.import_module(name)


def _environment(copied: Path) -> dict[str, str]:
    path = os.pathsep.join(map(str, (copied, copied / "firmware-sim", Path(functions_reached.__file__).parent)))
    return os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}


def try_all(sample: Sequence[Mutant], tests: Sequence[str], seconds: float) -> list[Mutant]:
    """Run the tests over each mutant, in a copy of the project; those that live, in order. Prints what came of each."""
    living = []
    load_libraries()
    with tempfile.TemporaryDirectory() as place:
        copied = Path(place) / "project"
        shutil.copytree(ROOT, copied, ignore=shutil.ignore_patterns(".git", ".venv", "var", ".hypothesis", ".*_cache"))
        reached = tests_by_function(copied, tests)
        for number, mutant in enumerate(sample, 1):
            chosen = list(tests) if mutant.is_compiled else reached.get(f"{mutant.path}:{mutant.function}", [])
            noticed = bool(chosen) and is_killed(copied, mutant, chosen, seconds)
            if not noticed:
                living.append(mutant)
            word = "noticed" if noticed else "LIVES  " if chosen else "UNTRIED"
            print(f"{number}/{len(sample)} {word} {mutant}", flush=True)
    return living


def record(room: str, seed: int, sample: Sequence[Mutant], living: Sequence[Mutant], drawn_from: int) -> None:
    """Write the room's share into the file of records, beside those of the other rooms."""
    known = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    known[room] = {
        "seed": seed,
        "mutants": drawn_from,
        "tried": len(sample),
        "noticed": len(sample) - len(living),
        "share": round(1 - len(living) / max(len(sample), 1), 3),
        "living": [str(mutant) for mutant in living],
    }
    RECORD.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def main(arguments: Sequence[str]) -> int:
    """Draw a sample of a room's mutants, run its tests over each, and print the share that was noticed."""
    parser = argparse.ArgumentParser(
        prog="make mutants", description="Put small bugs in, and see whether a test fails."
    )
    parser.add_argument("room", help="a folder at the top, such as alerts")
    parser.add_argument("--sample", type=int, default=40, help="mutants tried (default 40)")
    parser.add_argument("--seed", type=int, default=1, help="of the sample (default 1)")
    parser.add_argument("--seconds", type=float, default=900.0, help="longest run of the tests (default 900)")
    parser.add_argument("--record", action="store_true", help=f"write the share to {RECORD.relative_to(ROOT)}")
    chosen = parser.parse_args(arguments)
    folder = Path(FOLDERS.get(chosen.room, chosen.room))
    files = sorted(path.relative_to(ROOT) for path in (ROOT / folder).rglob("*.py"))
    if not files or not (ROOT / "tests" / chosen.room).is_dir():
        parser.error(f'"{chosen.room}": expected a folder that has tests in tests/')
    found = [mutant for path in files for mutant in mutants(path)]
    sample = random.Random(chosen.seed).sample(found, min(chosen.sample, len(found)))
    tests = [f"tests/{chosen.room}", *CONTRACTS.get(chosen.room, [])]
    living = try_all(sample, tests, chosen.seconds)
    killed = len(sample) - len(living)
    print(
        f"{chosen.room}: {killed} of {len(sample)} noticed, {killed / max(len(sample), 1):.0%}, of {len(found)} mutants"
    )
    if chosen.record:
        record(chosen.room, chosen.seed, sample, living, len(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
