"""Mutation testing, sampled: `make mutants ROOM=alerts ARGS="--sample 40"`.

Puts one small bug at a time into a copy of the project, and runs the room's own tests over it. A mutant that no test
notices lives, and is named with its place. The sample is drawn by a seed, so that a run can be repeated; mutants that
change nothing that can be seen are among the living, so 100 % is not to be had.

Source: DeMillo, Lipton, Sayward, "Hints on test data selection", Computer 11(4), 1978.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {"firmware_sim": "firmware-sim/firmware_sim"}
CONTRACTS = {
    "detectors": ["tests/contracts/test_detectors.py"],
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
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}


@dataclass(frozen=True)
class Mutant:
    """One changed file: where the change is, and how it reads before and after."""

    path: Path
    line: int
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


def within_functions(tree: ast.Module) -> Iterator[ast.AST]:
    """What runs: the nodes of functions' bodies, without annotations and defaults."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            for statement in function.body:
                yield from (node for node in ast.walk(statement) if not isinstance(node, ast.FunctionDef))


def mutants(path: Path) -> Iterator[Mutant]:
    """Every mutant of one file."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    for node in list(dict.fromkeys(within_functions(tree))):
        for new in changes(node):
            changed = ast.fix_missing_locations(_Put(node, new).visit(tree))
            source = ast.unparse(changed)
            _Put(new, node).visit(tree)
            yield Mutant(path, getattr(node, "lineno", 0), ast.unparse(node), ast.unparse(new), source)


def is_killed(copied: Path, mutant: Mutant, tests: Sequence[str], seconds: float) -> bool:
    """Whether a test fails, or none ends in time, with the mutant in the copied project."""
    target = copied / mutant.path
    whole = target.read_text(encoding="utf-8")
    target.write_text(mutant.source, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": f"{copied}:{copied / 'firmware-sim'}", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    try:
        ran = subprocess.run(
            command, cwd=copied, env=environment, timeout=seconds, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return True
    finally:
        target.write_text(whole, encoding="utf-8")
    return ran.returncode == 1


def main(arguments: Sequence[str]) -> int:
    """Draw a sample of a room's mutants, run its tests over each, and print the share that was noticed."""
    parser = argparse.ArgumentParser(
        prog="make mutants", description="Put small bugs in, and see whether a test fails."
    )
    parser.add_argument("room", help="a folder at the top, such as alerts")
    parser.add_argument("--sample", type=int, default=40, help="mutants tried (default 40)")
    parser.add_argument("--seed", type=int, default=1, help="of the sample (default 1)")
    parser.add_argument("--seconds", type=float, default=600.0, help="longest run of the tests (default 600)")
    chosen = parser.parse_args(arguments)
    folder = Path(FOLDERS.get(chosen.room, chosen.room))
    files = sorted(path.relative_to(ROOT) for path in (ROOT / folder).rglob("*.py"))
    if not files or not (ROOT / "tests" / chosen.room).is_dir():
        parser.error(f'"{chosen.room}": expected a folder that has tests in tests/')
    found = [mutant for path in files for mutant in mutants(path)]
    sample = random.Random(chosen.seed).sample(found, min(chosen.sample, len(found)))
    tests = [f"tests/{chosen.room}", *CONTRACTS.get(chosen.room, [])]
    with tempfile.TemporaryDirectory() as place:
        copied = Path(place) / "project"
        shutil.copytree(ROOT, copied, ignore=shutil.ignore_patterns(".git", ".venv", "var", ".hypothesis", ".*_cache"))
        killed = 0
        for number, mutant in enumerate(sample, 1):
            noticed = is_killed(copied, mutant, tests, chosen.seconds)
            killed += noticed
            print(f"{number}/{len(sample)} {'noticed' if noticed else 'LIVES  '} {mutant}", flush=True)
    print(
        f"{chosen.room}: {killed} of {len(sample)} noticed, {killed / max(len(sample), 1):.0%}, of {len(found)} mutants"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
