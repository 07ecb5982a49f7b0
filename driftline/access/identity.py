"""Roles, and who a request comes from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a person or program may do, least first. Each role from viewer on includes those between."""

    SENDER = "sender"
    """Sends readings over HTTP, and sees nothing."""
    VIEWER = "viewer"
    """Reads everything but accounts and the audit log."""
    OPERATOR = "operator"
    """Acts on alarms and devices too."""
    ADMIN = "admin"
    """Changes accounts, notices and the configuration too."""

    def includes(self, other: Role) -> bool:
        """Whether this role may do what `other` may."""
        order = list(Role)
        return order.index(self) >= order.index(other)

    @property
    def may_send(self) -> bool:
        """Whether this role may send readings: who only reads may not."""
        return self is Role.SENDER or self.includes(Role.OPERATOR)


class IdentityKind(StrEnum):
    """How a request showed who it comes from."""

    OPEN = "open"
    """Nobody signs in here: the service listens on loopback alone and has no users."""
    SESSION = "session"
    """By the cookie of a person who has signed in."""
    TOKEN = "token"
    """By an API token."""
    PROXY = "proxy"
    """By a header of a reverse proxy that is trusted to sign people in."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a request comes from. `key` is what its CSRF token is made of; `address` is the client's."""

    name: str
    role: Role
    kind: IdentityKind
    key: str = ""
    address: str = ""

    @property
    def needs_csrf_token(self) -> bool:
        """Whether a browser sends this identity by itself, so that another site's page could make use of it."""
        return self.kind in (IdentityKind.SESSION, IdentityKind.PROXY)
