from __future__ import annotations

from pathlib import Path

import pytest

from driftline.compile.kernel_cache import ROOMS, CompiledNote, drop_stale_kernels


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for room in (*ROOMS, "driftline"):
        (tmp_path / room / "__pycache__").mkdir(parents=True)
    (tmp_path / "detectors" / "kernel.py").write_text("from numba import njit\n")
    (tmp_path / "detectors" / "plain.py").write_text("x = 1\n")
    drop_stale_kernels(tmp_path)
    for room in ROOMS:
        (tmp_path / room / "__pycache__" / "a.nbi").write_bytes(b"")
        (tmp_path / room / "__pycache__" / "a.1.nbc").write_bytes(b"")
        (tmp_path / room / "__pycache__" / "a.pyc").write_bytes(b"")
    return tmp_path


def cached(tree: Path) -> int:
    return len(list(tree.rglob("*.nb[ic]")))


def test_unchanged_sources_keep_their_kernels(tree: Path) -> None:
    (tree / "detectors" / "plain.py").write_text("x = 2\n")
    assert drop_stale_kernels(tree) == 0
    assert cached(tree) == 2 * len(ROOMS)


def test_a_changed_kernel_drops_every_cached_one_once(tree: Path) -> None:
    (tree / "detectors" / "kernel.py").write_text("from numba import njit\n# changed\n")
    assert drop_stale_kernels(tree) == 2 * len(ROOMS)
    assert cached(tree) == 0
    assert len(list(tree.rglob("*.pyc"))) == len(ROOMS)
    assert drop_stale_kernels(tree) == 0


def test_a_kernel_file_that_is_new_or_gone_counts_as_a_change(tree: Path) -> None:
    (tree / "alerts" / "new.py").write_text("import numba\n@numba.njit\ndef f(): ...\n")
    assert drop_stale_kernels(tree) > 0
    (tree / "alerts" / "new.py").unlink()
    (tree / "alerts" / "__pycache__" / "b.nbi").write_bytes(b"")
    assert drop_stale_kernels(tree) == 1


def test_the_note_of_what_is_compiled_holds_until_a_kernel_changes(tree: Path) -> None:
    note = CompiledNote(tree)
    assert note.writable
    assert note.steps() == set()
    note.add(["decoding"])
    note.add(["detector zscore"])
    assert CompiledNote(tree).steps() == {"decoding", "detector zscore"}
    (tree / "storage" / "kernel.py").write_text("from numba import njit\n")
    assert note.steps() == set()
    note.add(["decoding"])
    assert note.steps() == {"decoding"}


def test_a_damaged_note_counts_as_none(tree: Path) -> None:
    note = CompiledNote(tree)
    note.add(["decoding"])
    for text in ("", "[]", "{", '{"of": 1}', "\0"):
        (tree / "driftline" / "__pycache__" / ".kernels-compiled").write_text(text)
        assert note.steps() == set()
