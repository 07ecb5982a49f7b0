"""Kernels: functions that numba compiles to machine code, with their types kept for the type checker.

Numba's own decorators have no types, so that a kernel's callers would go unchecked. Every kernel of the project is made
by one of those here: `njit` for what Python calls, `subkernel` for what only kernels call. What is compiled is cached
on disk, beside the source or in `NUMBA_CACHE_DIR`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar, cast, overload

import numba
from numba.extending import register_jitable

from common.subkernel_compiler import SubkernelCompiler

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


@overload
def njit(function: Kernel, /) -> Kernel: ...


@overload
def njit(
    *,
    nogil: bool = False,
    inline: Literal["never", "always"] = "never",
    error_model: Literal["python", "numpy"] = "python",
    fastmath: bool | set[str] = False,
    allocates: bool = True,
) -> Callable[[Kernel], Kernel]: ...


def njit(function: Kernel | None = None, /, **options: Any) -> Kernel | Callable[[Kernel], Kernel]:
    """Compile a function at its first call with each combination of argument types, and cache the machine code.

    `nogil` lets other threads run meanwhile; `inline="always"` puts the function's body into its callers;
    `error_model="numpy"` gives inf or NaN for a division by zero, where "python" raises; `fastmath` lets the compiler
    reorder sums and products (all that LLVM knows, or the set of its flags that is named). `allocates=False` is said by
    a kernel that makes no array: it then counts no references either, which makes kernels over tuples of many state
    arrays up to five times as fast. Numba refuses such a kernel if it does make one.

    Source: numba's manual, "Compiling Python code with @jit".
    """
    if not options.pop("allocates", True):
        options["_nrt"] = False
    decorator = cast("Callable[[Kernel], Kernel]", numba.njit(cache=True, **options))
    return decorator if function is None else decorator(function)


@overload
def subkernel(function: Kernel, /) -> Kernel: ...


@overload
def subkernel(
    *,
    inline: Literal["by size", "always"] = "by size",
    fastmath: bool | set[str] = False,
    allocates: bool = False,
) -> Callable[[Kernel], Kernel]: ...


def subkernel(function: Kernel | None = None, /, **options: Any) -> Kernel | Callable[[Kernel], Kernel]:
    """Compile a function as part of the kernels that call it, and of nothing else; called from Python it stays Python.

    It gets no entry for Python, no machine code of its own and no place in the cache, which take more than half of the
    time that a kernel takes to compile. The options are those of `njit`; that it makes no array is taken for granted.
    `inline="always"` is for a sum in any order (`fastmath`): the function is optimised by itself before it goes into
    its callers, so that all of them add up in the same order.

    Source: numba's manual, "High-level extension API".
    """
    if options.pop("inline", "by size") == "always":
        options["forceinline"] = True
    else:
        options["pipeline_class"] = SubkernelCompiler
    if not options.pop("allocates", False):
        options["_nrt"] = False
    decorator = cast("Callable[[Kernel], Kernel]", register_jitable(no_cfunc_wrapper=True, **options))
    return decorator if function is None else decorator(function)
