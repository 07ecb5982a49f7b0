from __future__ import annotations

import pytest

from common.excerpts import shortened


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b'{"a":1}', "'{\"a\":1}'"),
        (b"it's", '"it\'s"'),
        (b"\xff\x00\xfe", "ff 00 fe"),
        ("Größe".encode(), "'Größe'"),
        (b"\x00\x01\x02\x03" * 20, "00 01 02 03 00 01 02 03 00 01 02 03 00 01 02 03 00 01 02 ..."),
        ([b"ab", {b"k": b"\xff\xfe"}], "['ab', {'k': ff fe}]"),
        ("x" * 80, "'" + 56 * "x" + "..."),
        ("é".encode() * 80, "'" + 56 * "é" + "..."),
        pytest.param(10**5000, "a huge int", id="huge"),
        (b"", "''"),
        (b"a\xffb", r"'a\xffb'"),
        (b"21.5 \xb0C", r"'21.5 \xb0C'"),
    ],
)
def test_a_value_is_shown_as_the_text_that_it_is_or_in_hex(value: object, shown: str) -> None:
    assert shortened(value) == shown
