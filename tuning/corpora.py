"""Benchmark corpora run and scored, with what others reached on them beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tuning import nab, skab, ucr
from tuning.backtest import Plan
from tuning.names import CorpusName
from tuning.runs import Job, Outcome, run_all


@dataclass(frozen=True, slots=True)
class Card:
    """A table to print: title, column names, rows of JSON values."""

    title: str
    columns: list[str]
    rows: list[list[Any]]


def jobs_of(corpus: CorpusName, folder: Path, output: Path) -> list[Job]:
    """The recordings of a corpus. Raises RecordingError where the folder holds no copy of it."""
    if corpus is CorpusName.NAB:
        return nab.jobs(folder, output)
    return ucr.jobs(folder, output) if corpus is CorpusName.UCR else skab.jobs(folder, output)


def run_corpus(
    plan: Plan,
    corpus: CorpusName,
    folder: Path,
    output: Path,
    *,
    workers: int | None = None,
    splits: bool = False,
    done: Callable[[Outcome], None] = lambda _: None,
) -> list[Card]:
    """Score a corpus into `output`, in the layout that its scorers read; returns the score cards.

    SKAB's channels are scored as one device. `splits` adds the check that NAB's threshold is not fitted to NAB.
    """
    if corpus is CorpusName.SKAB:
        plan = Plan(plan.detectors, plan.routes, plan.alarm, plan.series, plan.detector, multivariate=True)
    outcomes = run_all(plan, jobs_of(corpus, folder, output), workers=workers, done=done)
    if corpus is CorpusName.NAB:
        cards = _nab_cards(outcomes, folder, splits)
    elif corpus is CorpusName.UCR:
        cards = _ucr_cards(outcomes, folder)
    else:
        cards = _skab_cards(outcomes, folder)
    return [*cards, _cost_card(outcomes)]


def _nab_cards(outcomes: Mapping[str, Outcome], folder: Path, splits: bool) -> list[Card]:
    windows = nab.windows_of(folder, outcomes)
    names = [profile.name for profile in nab.PROFILES]
    own = nab.score(outcomes, windows)
    rows: list[list[Any]] = [["this run", *(round(result.score, 2) for result in own)]]
    rows += [list(entry) for entry in nab.LEADERBOARD]
    rows.sort(key=lambda row: -row[1])
    cards = [
        Card("NAB score, one threshold a profile over all files", ["detector", *names], rows),
        Card("Thresholds that suit the profiles best", names, [[round(result.threshold, 3) for result in own]]),
    ]
    if splits:
        halves = nab.half_splits(outcomes, windows)
        each = [
            [f"{number // 2 + 1}{'ab'[number % 2]}", *(round(r.score, 2) for r in half)]
            for number, half in enumerate(halves)
        ]
        mean = np.mean([[result.score for result in half] for half in halves], axis=0)
        rows = [*each, ["mean", *(round(float(value), 2) for value in mean)]]
        cards.append(Card("NAB score on half of the files, threshold fitted on the other half", ["half", *names], rows))
    told = nab.alarms(outcomes, windows)
    cards.append(
        Card(
            "Alarms at the configured budget",
            ["windows with an alarm", "share", "alarms outside windows", "per file"],
            [
                [
                    f"{told.found} of {told.windows}",
                    round(told.share, 3),
                    told.outside,
                    round(told.outside_per_file, 2),
                ]
            ],
        )
    )
    return cards


def _ucr_cards(outcomes: Mapping[str, Outcome], folder: Path) -> list[Card]:
    hits = ucr.score(outcomes, ucr.labels(folder))
    found = sum(hit.hit for hit in hits)
    rows: list[list[Any]] = [["this run", round(found / len(hits), 3), f"{found} of {len(hits)}"]]
    rows += [[name, share, ""] for name, share in ucr.LEADERBOARD]
    missed = [
        [hit.label.name, hit.row, f"{hit.label.start} to {hit.label.end}", hit.label.length]
        for hit in hits
        if not hit.hit
    ]
    opened = [outcomes[hit.label.name].openings for hit in hits]
    near = [
        (rows_at >= hit.label.start - ucr.TOLERANCE) & (rows_at <= hit.label.end + ucr.TOLERANCE)
        for hit, rows_at in zip(hits, opened, strict=True)
    ]
    told = [
        f"{sum(bool(at.any()) for at in near)} of {len(hits)}",
        round(sum(int((~at).sum()) for at in near) / len(hits), 2),
    ]
    return [
        Card("UCR: share of series whose highest score is on the anomaly", ["detector", "top-1", "series"], rows),
        Card("Series missed", ["series", "highest at", "anomaly at", "rows"], missed),
        Card("Alarms at the configured budget", ["anomalies with an alarm", "other alarms per file"], [told]),
    ]


def _skab_cards(outcomes: Mapping[str, Outcome], folder: Path) -> list[Card]:
    labelled = {name: skab.labels(folder / name) for name in outcomes}
    own = skab.score(outcomes, labelled)
    rows: list[list[Any]] = [
        ["this run", *(round(x, 3) for x in (own.f1, own.false_alarm_rate, own.missed_alarm_rate))]
    ]
    rows += [[name, f1, None, None] for name, f1 in skab.LEADERBOARD]
    rows.sort(key=lambda row: -row[1])
    outside = sum(int((~labelled[name][outcome.openings]).sum()) for name, outcome in outcomes.items())
    return [
        Card("SKAB, rows flagged", ["detector", "F1", "false-alarm rate", "missed-alarm rate"], rows),
        Card("Alarms at the configured budget", ["outside faults, per file"], [[round(outside / len(outcomes), 2)]]),
    ]


def _cost_card(outcomes: Mapping[str, Outcome]) -> Card:
    readings = sum(outcome.readings for outcome in outcomes.values())
    seconds = sum(outcome.seconds for outcome in outcomes.values())
    late = sum(outcome.late for outcome in outcomes.values())
    row = [len(outcomes), readings, late, round(seconds, 1), round(1e6 * seconds / max(readings, 1), 1)]
    return Card("Work done", ["files", "readings", "late rows", "CPU seconds", "us a reading, files included"], [row])
