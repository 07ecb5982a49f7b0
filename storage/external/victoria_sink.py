"""Store: writes to VictoriaMetrics: as to InfluxDB, but for what is deleted.

https://docs.victoriametrics.com/victoriametrics/url-examples/#apiv1admintsdbdelete_series
"""

from __future__ import annotations

import json

from common.durations import parse_duration
from common.http_client import HttpClient
from common.time_units import SECOND
from storage.external.influx import InfluxSink
from storage.external.lines import POINTS


class VictoriaSink(InfluxSink):
    """Writes outputs to one server of VictoriaMetrics."""

    def _ask_to_delete(self, device: str) -> None:
        # Whatever a metric is called that Driftline's lines make: measurement and field.
        selector = f'{{__name__=~"{POINTS}_.*",device={json.dumps(device, ensure_ascii=False)}}}'
        client = HttpClient(
            self.settings.url,
            seconds=parse_duration(self.settings.timeout) / SECOND,
            headers={"Authorization": f"Token {self._token}"} if self._token else None,
        )
        try:
            client.ask("POST", "/api/v1/admin/tsdb/delete_series", form={"match[]": selector})
        finally:
            client.close()
