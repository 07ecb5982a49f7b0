"""Beside the pipeline: what people do, as it stands in the journal, and a record of each of it."""

from __future__ import annotations

from dataclasses import dataclass

from alerts.actions import ActionError, DoNotLearn, MarkStretch, ReportChannel, decode, text_of
from alerts.alarm_life import Alarms
from alerts.channel_alarms import alarm_of_channel
from alerts.marked_stretches import MarkedStretches
from devices.device_actions import DeviceAction, PointsAction
from devices.records import ActionRecord, AlarmState
from ingest.detector_host import DetectorHost
from ingest.device_changes import Changed, DeviceChanges
from ingest.not_learned import NotLearned, Stretch
from storage.store import JournalEntry


@dataclass(frozen=True, slots=True)
class ActionHandler:
    """The stages that people's actions change."""

    changes: DeviceChanges
    alarms: Alarms
    host: DetectorHost
    not_learned: NotLearned
    marked: MarkedStretches

    def act(self, entry: JournalEntry) -> tuple[Changed, list[ActionRecord]]:
        """What people did, where the entry holds that: what follows from it, and a record of each action."""
        body = entry.chunk.actions
        changed = Changed()
        records: list[ActionRecord] = []
        for number, action in enumerate(decode(body)) if body is not None else ():
            refused, outcome, alarm = "", "", None
            try:
                if isinstance(action, DoNotLearn):
                    self.not_learned.add(Stretch(action.device, action.metric, action.start, action.end))
                elif isinstance(action, MarkStretch):
                    self.marked.put(action)
                elif isinstance(action, ReportChannel):
                    self._report_channel(action, changed)
                elif isinstance(action, PointsAction):
                    self.changes.mark(action, changed)
                elif isinstance(action, DeviceAction):
                    self.changes.act(action, entry.position, changed)
                else:
                    alarm = action.alarm
                    record, outcome = self.alarms.act(action, self.host)
                    changed.alarms.append(record)
            except ActionError as error:
                refused = str(error)
            text = text_of(action, outcome)
            records.append(
                ActionRecord(entry.position, number, alarm, action.kind, action.by, action.at, text, refused)
            )
        return changed, records

    def _report_channel(self, report: ReportChannel, changed: Changed) -> None:
        record = alarm_of_channel(report, self.changes.registry, self.alarms)
        if record is not None:
            changed.alarms.append(record)
            changed.alarms_opened += record.state is AlarmState.OPEN
