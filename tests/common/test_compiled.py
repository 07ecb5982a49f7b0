"""The decorator of the kernels: what numba compiles gives what Python gives, and divides as it was told."""

import ast
import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from common.compiled import njit, subkernel

ROOT = Path(__file__).resolve().parents[2]


@njit
def _sum_of_squares(count: int) -> int:
    total = 0
    for number in range(count):
        total += number * number
    return total


@njit
def _quotient(numerator: float, denominator: float) -> float:
    return numerator / denominator


@njit(error_model="numpy", nogil=True)
def _quotient_or_infinity(numerator: float, denominator: float) -> float:
    return numerator / denominator


@subkernel
def _half(number: float) -> float:
    if number < 0.0:
        raise ValueError("number: expected 0 or more")
    return number / 2.0


@subkernel
def _quarter(number: float) -> float:
    return _half(_half(number))


@subkernel(inline="always", fastmath=True)
def _sum(numbers: NDArray[np.float64]) -> float:
    total = 0.0
    for number in numbers:
        total += number
    return total


@njit
def _quarter_of_sum(numbers: NDArray[np.float64]) -> float:
    return _quarter(_sum(numbers))


def test_what_only_kernels_call_gives_what_python_gives_in_a_kernel_and_in_python() -> None:
    numbers = np.arange(9.0)
    assert _quarter_of_sum(numbers) == 9.0
    assert _quarter(_sum(numbers)) == 9.0


def test_an_error_comes_out_of_what_only_kernels_call() -> None:
    with pytest.raises(ValueError, match="number: expected 0 or more"):
        _quarter_of_sum(np.array([-1.0]))


def test_a_kernel_gives_what_python_gives() -> None:
    assert _sum_of_squares(10) == 285


def test_a_division_by_zero_raises_unless_it_is_to_give_infinity() -> None:
    with pytest.raises(ZeroDivisionError):
        _quotient(1.0, 0.0)
    assert _quotient_or_infinity(1.0, 0.0) == math.inf


def test_no_other_module_takes_numba_s_own_decorator() -> None:
    rooms = ("alerts", "detectors", "devices", "driftline", "functions", "ingest", "storage", "streams", "tuning")
    taking = [
        str(path.relative_to(ROOT))
        for room in rooms
        for path in (ROOT / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.ImportFrom) and node.module == "numba")
        or (isinstance(node, ast.Import) and any(alias.name == "numba" for alias in node.names))
    ]
    assert taking == []


def test_no_kernel_calls_for_linear_algebra_that_numba_has_only_with_scipy() -> None:
    rooms = ("alerts", "detectors", "devices", "ingest", "storage")
    calling = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for room in rooms
        for path in (ROOT / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "linalg"
    ]
    assert calling == []
