"""The built-in web page's files, read from the package: plain HTML, CSS and JavaScript, no build step."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

WEB_FOLDER = Path(__file__).parent / "web"
_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class WebFile:
    """One file as it is sent: its bytes, media type, and a tag that changes with the bytes (RFC 9110 section 8.8.3)."""

    content: bytes
    media_type: str
    etag: str


def load_web_files(folder: Path = WEB_FOLDER) -> dict[str, WebFile]:
    """All files that the page is made of, by path below `folder`; files of other kinds are left out. Raises OSError."""
    files = {}
    for path in sorted(folder.rglob("*")):
        media_type = _MEDIA_TYPES.get(path.suffix)
        if media_type is not None and path.is_file():
            content = path.read_bytes()
            tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
            files[path.relative_to(folder).as_posix()] = WebFile(content, media_type, tag)
    return files
