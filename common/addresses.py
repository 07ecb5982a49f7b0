"""Addresses of hosts and web servers: what a setting or a request may name."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Whether a host, by name or address, is this machine as only its own programs reach it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_loopback_url(url: str) -> bool:
    """Whether the host of a URL is this machine's loopback."""
    return is_loopback(urlsplit(url).hostname or "")


def is_web_address(url: str) -> bool:
    """Whether a text is a URL of HTTP or HTTPS, with a host, and with a port only where that is one."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
