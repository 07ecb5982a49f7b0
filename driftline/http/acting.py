"""What people do over HTTP: carried out by the service, with what is wrong told by the answer's status."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import ValidationError

from alerts.actions import Action, ActionError
from devices.records import ActionRecord
from driftline.http.errors import ApiError
from driftline.http.view import ServiceView

WAITS: dict[int | str, dict[str, Any]] = {
    202: {"description": "It is in the journal; the engine is behind, and does it in its turn (`waits`)."}
}
"""The answer, beside the usual ones, of what is accepted and not done yet."""


def status_of(done: Sequence[ActionRecord]) -> int:
    """The status of an answer about actions: 202 where any of them still waits."""
    return 202 if any(each.waits for each in done) else 200


def carried_out(view: ServiceView, make: Callable[[], Sequence[Action]]) -> list[ActionRecord]:
    """Make the actions, and have them done; what came of each, in order.

    Raises ApiError: 400 where `make` finds something wrong with them, 503 where the service cannot do it now.
    """
    try:
        actions = make()
    except (ActionError, ValidationError) as error:
        raise ApiError(400, "invalid_request", f"body: {_sentence_of(error)}") from None
    try:
        return view.act(actions)
    except ActionError as error:
        raise ApiError(503, "not_done", str(error)) from None


def _sentence_of(error: Exception) -> str:
    """What is wrong with an action, with the setting that it is about."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        sentence = first["msg"].removeprefix("Value error, ")
        return f"{place}: {sentence}" if place else sentence
    return str(error)
