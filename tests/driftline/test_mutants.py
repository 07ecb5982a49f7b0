"""The mutation tester makes one change at a time, and leaves the rest as it is."""

import ast
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import mutants
import pytest


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a < b", "a <= b"), ("a == b", "a != b"), ("a + b", "a - b"), ("a and b", "a or b"), ("not a", "a"),
        ("min(a, b)", "max(a, b)"), ("a[3]", "a[4]"), ("f(x=True)", "f(x=False)"),
    ],
)  # fmt: skip
def test_each_kind_of_expression_is_changed(
    before: str, after: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    (tmp_path / "module.py").write_text(f"LIMIT = 3\n\ndef f(a, b):\n    return {before}\n")
    (found,) = mutants.mutants(Path("module.py"))
    assert found.source == f"LIMIT = 3\n\ndef f(a, b):\n    return {after}"
    assert found.line == 4


def test_mutants_of_one_file_do_not_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    source = "def f(a, b):\n    if a < b and a > 0:\n        return a + b\n    return a * 2"
    (tmp_path / "module.py").write_text(source)
    found = list(mutants.mutants(Path("module.py")))
    assert len(found) == 7
    for each in found:
        ast.parse(each.source)
        changed = [new for old, new in zip(source.splitlines(), each.source.splitlines(), strict=True) if old != new]
        assert len(changed) == 1


def killed(folder: Path, source: str, tests: Sequence[str] = ("test_module.py",)) -> str:
    """What is found of a mutant with this source, in a process without threads: the tester forks itself."""
    mutant = f"mutants.Mutant(Path('module.py'), 2, 1, False, '', '', {source!r})"
    found = subprocess.run(
        [
            sys.executable, "-c",
            "from pathlib import Path; import mutants; "
            f"print(mutants.is_killed(Path({str(folder)!r}), {mutant}, {list(tests)!r}, 120))",
        ],
        env=os.environ | {"PYTHONPATH": str(Path(mutants.__file__).parent)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return found.stdout.strip()


def test_a_mutant_that_a_test_notices_is_told_from_one_that_lives(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("def f(a):\n    return a + 1\n")
    (tmp_path / "test_module.py").write_text("import module\n\ndef test_f():\n    assert module.f(0) == 1\n")
    assert killed(tmp_path, "def f(a):\n    return a - 1\n") == "True"
    assert killed(tmp_path, "def f(a):\n    return 1 + a\n") == "False"
    assert (tmp_path / "module.py").read_text() == "def f(a):\n    return a + 1\n"
    renamed = ["test_module.py::test_f[of another run]"]
    assert killed(tmp_path, "def f(a):\n    return a - 1\n", renamed) == "True"
    assert killed(tmp_path, "def f(a):\n    return 1 + a\n", renamed) == "False"
    assert killed(tmp_path, "import os\n\ndef f(a):\n    os.abort()\n") == "True"


def test_the_tests_that_call_a_function_are_found_the_quickest_first(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(
        "import functools\n\ndef f(a):\n    return a\n\n"
        "@functools.cache\ndef g(a):\n    return f(a)\n\ndef h():\n    pass\n\n"
        "def made_at_import():\n    return 2\n\nTWO = made_at_import()\n"
    )
    (tmp_path / "test_module.py").write_text(
        "import module\n\ndef test_slow():\n    for a in range(100_000):\n        module.f(a)\n\n"
        "def test_quick():\n    assert module.g(0) == 0\n"
    )
    found = mutants.tests_by_function(tmp_path, ["test_module.py"])
    assert found["module.py:3"] == ["test_module.py::test_quick", "test_module.py::test_slow"]
    assert found["module.py:6"] == ["test_module.py::test_quick"]
    assert "module.py:10" not in found
    assert found["module.py:13"] == ["test_module.py"]
    (tmp_path / "test_module.py").write_text("def test_f():\n    assert False\n")
    with pytest.raises(SystemExit, match="the tests fail without any change"):
        mutants.tests_by_function(tmp_path, ["test_module.py"])
