"""The stack without Docker: the service with a real VictoriaMetrics as its child, and Grafana where it is found."""

from __future__ import annotations

import json
import shutil
import stat
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from driftline.config import Config
from driftline.runtime.stack import SINK, Stack, StackError, stack_beside

WaitFor = Callable[..., None]

_STAND_IN = """\
#!/usr/bin/env python3
import configparser, http.server, os, pathlib, sys
ini = configparser.ConfigParser()
path = next(word.split("=", 1)[1] for word in sys.argv if word.startswith("--config="))
ini.read_string("[top]\\n" + pathlib.Path(path).read_text())
pathlib.Path(ini["paths"]["data"]).mkdir(parents=True, exist_ok=True)
pathlib.Path(ini["paths"]["data"], "password").write_text(os.environ["GF_SECURITY_ADMIN_PASSWORD"])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/api/health" else 404)
        self.end_headers()
    def log_message(self, *words):
        pass
http.server.HTTPServer((ini["server"]["http_addr"], int(ini["server"]["http_port"])), Handler).serve_forever()
"""


def nothing(_: str) -> None:
    return None


def query(url: str, promql: str) -> list[dict[str, object]]:
    asked = urllib.parse.urlencode({"query": promql})
    with urllib.request.urlopen(f"{url}/api/v1/query?{asked}", timeout=240) as reply:
        found: list[dict[str, object]] = json.load(reply)["data"]["result"]
    return found


def test_goes_without_what_is_not_there(tmp_path: Path) -> None:
    said: list[str] = []
    with stack_beside(Config(), tmp_path, said.append, which=nothing) as config:
        assert config.sinks == []
        assert config.http.port
    assert said == [
        "VictoriaMetrics is not on PATH: the stack goes without it",
        "Grafana is not on PATH: the stack goes without it",
    ]


@pytest.mark.service("victoria-metrics")
def test_the_database_is_a_sink_on_loopback_and_ends_with_the_stack(tmp_path: Path, wait_until: WaitFor) -> None:
    only = {"victoria-metrics": shutil.which("victoria-metrics")}
    said: list[str] = []
    with stack_beside(Config(), tmp_path, said.append, which=only.get) as config:
        [sink] = config.sinks
        assert (sink.name, sink.type) == (SINK, "victoriametrics")
        assert sink.url.startswith("http://127.0.0.1:")
        line = b"driftline,device=d,metric=m value=1.5"
        urllib.request.urlopen(f"{sink.url}/api/v2/write", line, timeout=240).close()
        wait_until(lambda: query(sink.url, "last_over_time(driftline_value[1h])"), what="the point")
        assert f"127.0.0.1:{config.http.port}" in (tmp_path / "stack/victoria-metrics/scrape.yaml").read_text()
    with pytest.raises(OSError):
        query(sink.url, "up")


@pytest.mark.service("victoria-metrics")
def test_a_child_that_does_not_start_is_told_with_its_own_words(tmp_path: Path) -> None:
    (tmp_path / "victoria-metrics").mkdir()
    (tmp_path / "victoria-metrics" / "data").write_text("not a folder")
    stack = Stack(tmp_path)
    with pytest.raises(StackError, match=r"VictoriaMetrics did not start: .*\(log: .*log\)"):
        stack.start_database(scraped="127.0.0.1:1")
    assert stack.children == ()


def test_grafana_is_given_its_files_and_a_password_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, home = tmp_path / "grafana", tmp_path / "home"
    program.write_text(_STAND_IN)
    program.chmod(0o755)
    (home / "conf").mkdir(parents=True)
    (home / "conf" / "defaults.ini").touch()
    monkeypatch.setattr("driftline.runtime.stack._GRAFANA_HOMES", (home,))
    built: list[Path] = []

    def build(files: Path) -> list[Path]:
        built.append(files)
        return []

    stack = Stack(tmp_path / "stack", which={"grafana": str(program)}.get)
    passwords = []
    for _ in range(2):
        child = stack.start_grafana(build)
        assert child is not None
        assert child.alive
        passwords.append((tmp_path / "stack/grafana/data/password").read_text())
        stack.stop()
        assert not child.alive
    assert len(passwords[0]) > 20
    assert passwords[0] == passwords[1]
    kept = tmp_path / "stack" / "grafana" / "admin-password"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert built == [tmp_path / "stack" / "grafana" / "files"] * 2


def test_a_grafana_without_its_files_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("driftline.runtime.stack._GRAFANA_HOMES", (tmp_path / "nowhere",))
    with pytest.raises(StackError, match="its files are in none of"):
        Stack(tmp_path, which={"grafana": "/usr/bin/grafana"}.get).start_grafana(lambda _: [])
