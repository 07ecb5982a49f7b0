"""Text of others as terminals and logs may show it: control characters are spelled out, secrets are hidden."""

from __future__ import annotations

import re

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""C0 and C1 controls except tab and line feed, separators, and what turns the direction of writing."""

_USER_SECRET = re.compile(r"(://[^/@\s:]*:)[^@\s]+(@)")
_QUERY_SECRET = re.compile(
    r"([?&][^=&\s]*(?:token|password|passwd|pwd|secret|key|credential|auth|signature|sig)[^=&\s]*=)[^&\s#]+",
    re.IGNORECASE,
)
_HIDDEN = r"\1********"


def visible(text: str) -> str:
    """The text with every control character written as its escape, such as `\\x1b`."""
    return _CONTROLS.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


def without_secrets(text: str) -> str:
    """The text with passwords in addresses, and secrets in their queries, replaced by stars."""
    return _QUERY_SECRET.sub(_HIDDEN, _USER_SECRET.sub(_HIDDEN + r"\2", text))
