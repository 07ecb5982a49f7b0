"""Text of others as terminals and logs may show it: control characters are spelled out, secrets are hidden."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""C0 and C1 controls except tab and line feed, separators, and what turns the direction of writing."""

_USER_SECRET = re.compile(r"(://[^/@\s:]*:)[^@\s]+(@)")
_KEY_AS_USER = re.compile(r"(https?://)[^/@\s:]+(@)", re.IGNORECASE)
_QUERY_SECRET = re.compile(
    r"([?&][^=&\s]*(?:token|pass|pwd|secret|key|credential|auth|sig)[^=&\s]*=|[?&]p=)[^&\s#]+",
    re.IGNORECASE,
)
_HIDDEN = r"\1********"


def visible(text: str) -> str:
    """The text with every control character written as its escape, such as `\\x1b`."""
    return _CONTROLS.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


def without_secrets(text: str) -> str:
    """The text with passwords in addresses, and secrets in their queries, replaced by stars."""
    for pattern in (_USER_SECRET, _KEY_AS_USER):
        text = pattern.sub(_HIDDEN + r"\2", text)
    return _QUERY_SECRET.sub(_HIDDEN, text)


def host_alone(url: str) -> str:
    """An address that is a secret by itself, such as a webhook's: scheme and host stay, all else becomes stars."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:
        return "********"
    rest = "/********" if parts.path.strip("/") or parts.query or parts.fragment or parts.username else parts.path
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}{rest}" if host else "********"
