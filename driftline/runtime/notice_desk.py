"""Notices at run time: alarms from the live feed and the database reach the notifier, with their names and links."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from urllib.parse import quote, urlencode

from alerts.actions import Action, ActionError, ReportChannel
from alerts.channel_alarms import OWN_DEVICE, channel_of
from alerts.maintenance import MaintenanceSettings, maintenance_of
from alerts.notices.channels import Publish
from alerts.notices.notice_settings import NoticeSettings, read_secret
from alerts.notices.notifier import Notifier
from alerts.notices.outbox import Outbox
from alerts.notices.wording import AlarmView
from devices.records import AlarmRecord, SeriesRecord
from driftline.http.events import Subscription
from ingest.broker_settings import BrokerSettings
from ingest.connecting import host_and_port, side_client
from storage.embedded.database import EmbeddedStore

log = logging.getLogger(__name__)

_MOST_ADOPTED = 1_000
_LOOK_SECONDS = 5.0
_AROUND = 300_000_000_000
_PUBLISH_SECONDS = 10.0


class NoticeDesk:
    """Tells the notifier of every alarm that changes, and of those that changed before the start.

    The outbox is open from before `start` until after `stop`: health and the page read it too, and longer.
    """

    def __init__(
        self,
        outbox: Outbox,
        configured: Sequence[NoticeSettings],
        maintenance: Sequence[MaintenanceSettings],
        store: EmbeddedStore,
        subscribe: Callable[[Callable[[], None]], Subscription],
        *,
        clock: Callable[[], int],
        publish: Publish,
        page_url: str,
        act: Callable[[Sequence[Action]], object],
        muted: Callable[[], frozenset[str]] = frozenset,
    ) -> None:
        self.notifier = Notifier(outbox, with_secrets(configured), clock=clock, publish=publish)
        self._maintenance = maintenance
        self._store = store
        self._subscribe = subscribe
        self._page_url = page_url.rstrip("/")
        self._clock = clock
        self._act = act
        self._muted_now = muted
        self._muted = muted()
        self._dead: set[str] = set()
        self._records: dict[int, SeriesRecord] = {}
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="notice desk", daemon=True)

    def start(self) -> None:
        """Take up what is stored, and follow the feed."""
        self.notifier.start()
        self._thread.start()

    def configure(
        self, channels: Sequence[tuple[NoticeSettings, str]], maintenance: Sequence[MaintenanceSettings]
    ) -> None:
        """Put other channels of the configuration, with their secrets, and other windows in place."""
        self._maintenance = maintenance
        self.notifier.configure(channels)

    def stop(self) -> None:
        """End after what is under way; what waits goes out after the next start."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        self.notifier.stop()

    def _run(self) -> None:
        with self._subscribe(self._wake.set) as listener:
            listener.alarms_only = True
            self._adopt()
            self._dead = self._reported_dead()
            while not self._stopping.is_set():
                self._wake.wait(_LOOK_SECONDS)
                self._wake.clear()
                self._look_for_dead_channels()
                self._look_for_muted()
                taken = listener.take()
                if taken.missed:
                    self._adopt()
                for step in taken.steps:
                    for alarm in step.alarms:
                        if (view := self._view(alarm)) is not None:
                            self.notifier.offer(view)

    def _look_for_muted(self) -> None:
        """Spare the notices of devices that are muted now, and tell of the open alarms of those that no longer are."""
        changed = self._muted ^ self._muted_now()
        if changed:
            self._muted = self._muted ^ changed
            views = map(self._view, self._store.alarms(limit=_MOST_ADOPTED, open_only=True))
            for view in views:
                if view is not None and view.device in changed:
                    self.notifier.offer(view)

    def _look_for_dead_channels(self) -> None:
        """Journal which channels take nothing any more, and which do again: the engine makes alarms of that."""
        now, dead = self._clock(), self.notifier.dead()
        known = {settings.name for settings, _, _ in self.notifier.channels()}
        reports = [
            ReportChannel(by=OWN_DEVICE, at=now, channel=channel, state="dead", error=error, since=since)
            for channel, (since, error) in dead.items()
            if channel not in self._dead
        ]
        reports += [
            ReportChannel(
                by=OWN_DEVICE, at=now, channel=channel, state="well" if channel in known else "removed", since=now
            )
            for channel in sorted(self._dead - set(dead))
        ]
        if not reports:
            return
        try:
            self._act(reports)
        except ActionError as error:
            log.warning("notices: channels are not reported yet: %s", error)
        else:
            self._dead = set(dead)

    def _reported_dead(self) -> set[str]:
        """Channels whose alarms are open."""
        records = {record.series: record for record in self._store.series()}
        opened = (records.get(alarm.series) for alarm in self._store.alarms(limit=_MOST_ADOPTED, open_only=True))
        return {channel_of(each.device, each.metric) for each in opened if each is not None} - {""}

    def _adopt(self) -> None:
        stored = self._store.alarms(limit=_MOST_ADOPTED, open_only=True) + self._store.alarms(limit=_MOST_ADOPTED)
        views = (self._view(alarm) for alarm in {alarm.alarm: alarm for alarm in stored}.values())
        self.notifier.adopt([view for view in views if view is not None])

    def _view(self, alarm: AlarmRecord) -> AlarmView | None:
        if alarm.series not in self._records:
            self._records = {record.series: record for record in self._store.series()}
        record = self._records.get(alarm.series)
        if record is None:
            return None
        span = {"from": alarm.opened - _AROUND, "to": (alarm.cleared or alarm.opened) + _AROUND, "series": alarm.series}
        return AlarmView(
            alarm=alarm.alarm,
            device=record.device,
            metric=record.metric,
            unit=record.unit,
            severity=alarm.severity,
            state=alarm.state.value,
            opened=alarm.opened,
            cleared=alarm.cleared,
            value=alarm.value,
            reason=alarm.reason,
            shelved_until=alarm.shelved_until,
            maintenance=maintenance_of(self._maintenance, record.device, alarm.opened),
            is_muted=record.device in self._muted_now(),
            about_channel=channel_of(record.device, record.metric),
            link=f"{self._page_url}/#/device/{quote(record.device, safe='')}?{urlencode(span)}",
        )


def with_secrets(configured: Sequence[NoticeSettings]) -> list[tuple[NoticeSettings, str]]:
    """The channels with their secrets. Raises OSError, which names the setting, where one cannot be read."""
    found = []
    for number, settings in enumerate(configured):
        try:
            found.append((settings, read_secret(settings, os.environ)))
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise OSError(f"notices[{number}].secret_file: {settings.secret_file} cannot be read: {reason}") from None
    return found


def broker_publisher(settings: BrokerSettings, password: str | None) -> Publish:
    """Publishes single messages to the broker, in a connection each; raises OSError where it does not take one."""

    def publish(topic: str, payload: bytes) -> None:
        client = side_client(settings, password)
        host, port = host_and_port(settings)
        client.connect(host, port)
        client.loop_start()
        try:
            sent = client.publish(topic, payload, qos=1)
            sent.wait_for_publish(_PUBLISH_SECONDS)
            if not sent.is_published():
                raise TimeoutError(
                    f"the broker at {host}:{port} did not take the message within {_PUBLISH_SECONDS:.0f} s"
                )
        except RuntimeError as error:
            raise OSError(str(error)) from error
        finally:
            client.disconnect()
            client.loop_stop()

    return publish
