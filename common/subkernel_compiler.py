"""Compiling what only kernels call: typed and lowered once, then optimised and turned into machine code by its callers.

Numba compiles every function that a kernel calls to machine code of its own, which nothing ever runs, and optimises it
once more in each caller. Here it is handed on as it is lowered.

Source: numba's manual, "Customizing the compiler".
"""

from __future__ import annotations

from typing import Any

from numba import _dynfunc
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.typed_passes import NativeLowering


class _UnfinishedLibrary(JITCodeLibrary):  # type: ignore[misc]  # numba has no types
    """Code to be linked into a caller's, neither optimised nor emitted."""

    def finalize(self) -> None:
        self._raise_if_finalized()
        for library in dict.fromkeys(self._linking_libraries):
            self._reload_init.update(library._reload_init)
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        self._finalize_dynamic_globals()
        self._finalized = True


@register_pass(mutates_CFG=True, analysis_only=False)
class _LowerForCallers(NativeLowering):  # type: ignore[misc]  # numba has no types
    """Lowers a function into an unfinished library, under the name by which its callers find it."""

    _name = "lower_for_callers"

    def run_pass(self, state: Any) -> bool:
        state.library = _UnfinishedLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True
        super().run_pass(state)
        lowered = state.cr
        name, module = lowered.fndesc.qualname.rpartition(".")[2], lowered.fndesc.lookup_module()
        # Numba wants an entry for Python, which nothing calls.
        entry = _dynfunc.make_function(module, name, "", 0, lowered.env, (state.library,))
        state.targetctx.insert_user_function(entry, lowered.fndesc, [state.library])
        state.cr = lowered._replace(cfunc=entry)
        return True


class SubkernelCompiler(CompilerBase):  # type: ignore[misc]  # numba has no types
    """Numba's own pipeline with the last step replaced."""

    def define_pipelines(self) -> list[Any]:
        """The passes, in one list."""
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.passes = [(_LowerForCallers if step is NativeLowering else step, about) for step, about in passes.passes]
        passes.finalize()
        return [passes]
