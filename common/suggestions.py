"""One sentence for a name that does not exist: what was given, which known name is nearest, and which there are."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_MOST_NAMED = 40
_LEAST_CONTAINED = 3
_LONGEST_SHOWN = 200


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like `name`, whatever the case; else the first that contains it; None for neither."""
    by_folded: dict[str, str] = {}
    for each in known:
        by_folded.setdefault(each.casefold(), each)
    folded = name.casefold()
    close = get_close_matches(folded, by_folded, n=1)
    if close:
        return by_folded[close[0]]
    if len(folded) < _LEAST_CONTAINED:
        return None
    return next((original for each, original in by_folded.items() if folded in each), None)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean "ewma"?`, to follow the wrong name in a sentence; empty where no known name is near."""
    near = nearest(name, known)
    return "" if near is None else f'; did you mean "{near}"?'


def unknown(name: str, known: Iterable[str], kind: str = "") -> str:
    """`unknown detector "emwa"; did you mean "ewma"? (known: cusum, ewma)`, where `kind` is "detector".

    Of many known names, the first are listed; a very long one is cut.
    """
    names = sorted(known)
    beyond = len(names) - _MOST_NAMED
    listed = ", ".join(names[:_MOST_NAMED]) + (f" and {beyond} more" if beyond > 0 else "")
    shown = name if len(name) <= _LONGEST_SHOWN else f"{name[:_LONGEST_SHOWN]}…"
    return f'unknown {kind}{" " * bool(kind)}"{shown}"{did_you_mean(name, names)} (known: {listed or "none"})'
