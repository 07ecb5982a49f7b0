import pytest

from ingest.ingest_settings import ComponentSettings
from tuning.backtest import Plan
from tuning.budget_calibration import Realised, alarms_on, card_of
from tuning.synthetic import DAY

WEEKS = 3


@pytest.mark.parametrize("kind", ["stationary", "autocorrelated", "heavy-tailed", "quantised"])
def test_alarms_on_normal_series_are_about_as_many_as_the_budget_allows(kind: str) -> None:
    alarms = sum(alarms_on(Plan(), kind, seed, rows=(WEEKS + 1) * 7 * DAY, warmup=7 * DAY) for seed in range(4))
    # Twelve are allowed. Twice that, and the 3 that chance adds one time in a hundred.
    assert alarms <= 2 * 4 * WEEKS + 3


def test_the_warm_up_is_not_counted() -> None:
    plan = Plan(detectors={"default": ComponentSettings(type="threshold", upper=20.0)})
    rows = 500
    assert alarms_on(plan, "stationary", 0, rows=rows, warmup=0) > 0
    assert alarms_on(plan, "stationary", 0, rows=rows, warmup=rows) == 0


def test_the_table_has_a_row_for_each_kind() -> None:
    card = card_of([Realised("seasonal", 4, alarms=6, allowed=12.0)])
    assert card.rows == [["seasonal", 4, 12.0, 6, 0.5]]
