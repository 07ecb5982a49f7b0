"""Beside everything: log lines as a terminal may show them."""

from __future__ import annotations

import logging

from common.visible import visible, without_secrets


class VisibleFormatter(logging.Formatter):
    """Spells out control characters that came with names and payloads, and hides secrets of addresses."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        return without_secrets(visible(super().format(record)))
