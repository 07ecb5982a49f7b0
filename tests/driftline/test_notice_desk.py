from __future__ import annotations

from pathlib import Path

import pytest

from alerts.notices.notice_settings import NoticeSettings
from driftline.runtime.notice_desk import with_secrets


def test_a_secret_comes_from_its_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "key"
    file.write_text("from the file\n")
    monkeypatch.setenv("DRIFTLINE_NOTICE_ON_CALL_SECRET", "from the environment")
    channels = [
        NoticeSettings(name="shift", kind="mqtt", secret_file=file),
        NoticeSettings(name="on-call", kind="mqtt"),
        NoticeSettings(name="other", kind="mqtt"),
    ]
    assert [secret for _, secret in with_secrets(channels)] == ["from the file", "from the environment", ""]


def test_a_secret_that_cannot_be_read_names_its_setting(tmp_path: Path) -> None:
    channels = [NoticeSettings(name="shift", kind="mqtt", secret_file=tmp_path / "gone")]
    with pytest.raises(OSError, match=r"notices\[0\]\.secret_file: .*gone cannot be read: No such file"):
        with_secrets(channels)
