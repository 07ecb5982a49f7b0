"""After any end of the service, before it goes on: whether the parts of the data folder still belong together.

Each part knows how far it has come, and none runs ahead of what it rests on: a snapshot is saved behind what is stored,
and the journal is compacted behind both. Where that is not so a part was lost, or put back from an older copy.
"""

from __future__ import annotations

from collections.abc import Sequence


def what_is_lost(
    *, stored: int, journal_first: int, journal_next: int, snapshots: Sequence[int], database: str, journal: str
) -> list[str]:
    """A sentence for each part that is older than others know it; empty where all belong together.

    `stored` is the journal position up to which the database has everything, `journal_first` and `journal_next` are
    the oldest position in the journal and the one behind its newest, `snapshots` are the positions of the snapshots.
    """
    words = []
    known = max(snapshots, default=0)
    if journal_first > stored:
        words.append(
            f"{database} stands at journal position {stored}, and the journal begins at {journal_first}: what was "
            f"stored of the {journal_first - stored:,} positions between is lost; stop the service and restore a "
            "backup, or go on with what is there: `driftline confirm storage`"
        )
    elif known > stored:
        words.append(
            f"{database} stands at journal position {stored}, although {known} was stored already: it or its "
            f"write-ahead log was lost, or is an older copy; what came since is stored again from {journal}. If that "
            "was meant: `driftline confirm storage`"
        )
    if journal_next < stored:
        words.append(
            f"{journal} ends at position {journal_next}, and {database} holds {stored}: the journal was lost, or is "
            "an older copy; messages that were acknowledged and not stored are gone. If that was meant: "
            "`driftline confirm storage`"
        )
    return words
