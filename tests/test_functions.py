"""No function is longer than a screen, kernels apart. The linter holds branches and statements; this holds lines."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = (
    "alerts", "benchmarks", "common", "dashboards", "deploy", "detectors", "devices", "driftline", "firmware-sim",
    "functions", "ingest", "storage", "streams", "tests", "tuning", "workflows",
)  # fmt: skip
MOST_LINES = 60

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(node: ast.AST) -> Iterator[Function]:
    for child in ast.walk(node):
        if isinstance(child, Function):
            yield child


def lines_of(function: Function) -> int:
    """Lines from the signature to the last statement, without those of functions within."""
    within = [child for child in functions(function) if child is not function]
    inside = {line for each in within for line in range(_first_line(each), (each.end_lineno or 0) + 1)}
    return sum(line not in inside for line in range(function.lineno, (function.end_lineno or 0) + 1))


def _first_line(function: Function) -> int:
    return min(each.lineno for each in (function, *function.decorator_list))


def is_kernel(function: Function) -> bool:
    return any(
        ast.unparse(decorator).partition("(")[0] in ("njit", "subkernel") for decorator in function.decorator_list
    )


def test_no_function_is_longer_than_a_screen() -> None:
    measured = [
        (lines_of(function), f"{path.relative_to(ROOT)}:{function.lineno} {function.name}")
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        for function in functions(ast.parse(path.read_text(encoding="utf-8")))
        if not is_kernel(function)
    ]
    assert len(measured) > 1_000, "the folders were found"
    assert [f"{place}: {lines} lines" for lines, place in measured if lines > MOST_LINES] == []


def test_the_measure_leaves_out_functions_within() -> None:
    source = "def f(\n    a,\n):\n    a += 1\n    @g\n    def h():\n        return a\n    return h\n"
    assert [lines_of(each) for each in functions(ast.parse(source))] == [5, 2]
