"""Kinds of faults, a file a family. A new one is a class and a line in the tuple."""

from firmware_sim.fault_kinds.battery import BatteryCliff
from firmware_sim.fault_kinds.counters import CounterReset, CounterStop, CounterTooFast
from firmware_sim.fault_kinds.fault_kind import FaultKind
from firmware_sim.fault_kinds.levels import Drift, LevelShift, LongFault, Saturation, ShortFault, SlowDrift, UnitMixUp
from firmware_sim.fault_kinds.relations import CorrelationBreak, Replay, SeasonalChange, SensorSwap
from firmware_sim.fault_kinds.silence import Dropout, MissingMetric, SilentDeath
from firmware_sim.fault_kinds.spikes import DipToZero, ErrorCode, RecurringSpike, Spike
from firmware_sim.fault_kinds.switches import Chatter, SwitchStuck
from firmware_sim.fault_kinds.texture import NoiseBurst, Oscillation, Stuck
from firmware_sim.fault_kinds.transport import ClockSkew, Disorder, Duplicates, Flood

FAULT_KINDS: tuple[FaultKind, ...] = (
    Spike(),
    RecurringSpike(),
    DipToZero(),
    ErrorCode(),
    LevelShift(),
    LongFault(),
    ShortFault(),
    Drift(),
    SlowDrift(),
    Saturation(),
    UnitMixUp(),
    Stuck(),
    NoiseBurst(),
    Oscillation(),
    Dropout(),
    SilentDeath(),
    MissingMetric(),
    CounterReset(),
    CounterStop(),
    CounterTooFast(),
    SwitchStuck(),
    Chatter(),
    CorrelationBreak(),
    SensorSwap(),
    SeasonalChange(),
    BatteryCliff(),
    Replay(),
    ClockSkew(),
    Duplicates(),
    Disorder(),
    Flood(),
)
"""Every kind that concerns what a device reports; the plant's own are the worlds'."""
