"""What a message costs with more series, and with more routes: both ought to make no difference."""

from __future__ import annotations

from benchmarks.load import LoadPlan, Publisher
from benchmarks.messages_group import Cost, measure_service
from benchmarks.processes import Mosquitto, Service
from benchmarks.setting import Setting, configuration

SERIES_GROUP = "series, cheap tier"
ROUTES_GROUP = "routes, cheap tier"

SERIES = (1_000, 10_000, 100_000, 1_000_000)
ROUTES = (1, 100, 1_000)
MESSAGES = 200_000
MESSAGES_COMPARED = 2_500_000
"""At the fewest and the most series: long enough that a round of housekeeping and a snapshot fall into both."""
WARM_CYCLES = 2

_LIMITS = "[limits]\nmax_series = 1100000\n"


def run(setting: Setting) -> None:
    """Add the figures. A hundred thousand and a million series are run once, the fewest then as long as the most."""
    for turn in range(setting.runs):
        costs = {n: _with_series(setting, n, turn == 0) for n in SERIES if turn == 0 or n < SERIES[-2]}
        for number, cost in costs.items():
            name = f"{number:,} series"
            setting.figures.add(SERIES_GROUP, f"{name}: CPU per message", cost.service * 1e6, "µs")
            limit = 3.0 if number == SERIES[-1] else None
            setting.figures.add(SERIES_GROUP, f"{name}: resident memory", cost.resident / 1e9, "GB", at_most=limit)
            if number != SERIES[0]:
                ratio = cost.service / costs[SERIES[0]].service
                most = 2.0 if number == SERIES[-1] else None
                setting.figures.add(
                    SERIES_GROUP, f"{name}: CPU per message / that at {SERIES[0]:,}", ratio, "x", at_most=most
                )
    for _ in range(setting.runs):
        costs = {n: _with_routes(setting, n) for n in ROUTES}
        for number, cost in costs.items():
            name = f"{number:,} topic filters"
            setting.figures.add(ROUTES_GROUP, f"{name}: CPU per message", cost.service * 1e6, "µs")
            if number != ROUTES[0]:
                ratio = cost.service / costs[ROUTES[0]].service
                setting.figures.add(ROUTES_GROUP, f"{name}: / that with one", ratio, "x", at_most=1.1)


def _with_series(setting: Setting, series: int, with_housekeeping: bool) -> Cost:
    setting.say(f"CPU per message: {series:,} series")
    messages = MESSAGES_COMPARED if with_housekeeping and series in (SERIES[0], SERIES[-1]) else MESSAGES
    devices = -(-series // 3)
    plan = LoadPlan(devices=devices, cycle=max(devices, 50_000))
    warm = max(WARM_CYCLES * devices, 50_000)
    return _measure(setting, plan, ("bench/#",), warm, max(messages, devices))


def _with_routes(setting: Setting, routes: int) -> Cost:
    """Devices spread evenly over the routes, each with a topic filter of its own, the last ones tried last."""
    setting.say(f"CPU per message: {routes:,} routes")
    filters = tuple(f"bench/{number:03d}/#" for number in range(routes)) if routes > 1 else ("bench/#",)
    return _measure(
        setting, LoadPlan(topic="bench/{group:03d}/d{device:06d}", groups=routes), filters, 50_000, MESSAGES // 2
    )


def _measure(setting: Setting, plan: LoadPlan, filters: tuple[str, ...], warm: int, messages: int) -> Cost:
    folder = setting.fresh("scaling")
    with Mosquitto(folder) as broker:
        config = configuration(broker.port, filters=filters, more=_LIMITS)
        with Service(folder, config) as service:
            service.ready()
            with Publisher(broker.port, plan) as publisher:
                return measure_service(broker, service, publisher, warm, messages)
