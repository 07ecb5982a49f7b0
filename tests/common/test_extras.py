"""Libraries of extras: nothing is imported before its use, and a missing one is named with the way to get it."""

import subprocess
import sys

import pytest

from common.extras import MissingExtraError, is_installed, optional


def test_a_library_is_imported_at_its_first_use_only() -> None:
    code = (
        "import sys; from common.extras import optional; decimal = optional('colorsys', extra='x', purpose='Y');"
        "before = 'colorsys' in sys.modules; value = decimal.rgb_to_hsv(1.0, 0.0, 0.0);"
        "print(before, 'colorsys' in sys.modules, value)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False True (0.0, 1.0, 1.0)"


def test_a_missing_library_is_named_with_its_purpose_and_the_way_to_get_it() -> None:
    absent = optional("no_such_library.part", extra="archive", purpose="Reading Parquet files")
    with pytest.raises(MissingExtraError) as refused:
        _ = absent.read
    assert str(refused.value) == (
        "Reading Parquet files needs the library no_such_library, which is not installed: "
        "make setup EXTRAS=archive, or: pip install 'driftline[archive]'"
    )
    assert not is_installed("no_such_library")
    assert is_installed("numpy")
