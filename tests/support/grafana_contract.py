"""A server that behaves as Grafana's HTTP API is documented, as far as the push uses it.

https://grafana.com/docs/grafana/v11.6/developers/http_api/ : folder, data_source, dashboard, dashboard_versions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from serving import serving

Json = dict[str, Any]
Reply = tuple[int, Any]
TOKEN = "glsa_contract"


@dataclass
class GrafanaState:
    """What this Grafana holds; `before_save` runs as a save arrives, before it is looked at."""

    folders: dict[str, Json] = field(default_factory=dict)
    data_sources: dict[str, Json] = field(default_factory=dict)
    versions: dict[str, list[Json]] = field(default_factory=dict)
    provisioned: set[str] = field(default_factory=set)
    writes: list[str] = field(default_factory=list)
    before_save: list[Any] = field(default_factory=list)
    wrapped_versions: bool = True

    def edited_by_a_person(self, uid: str, **changes: Any) -> None:
        """Save a dashboard as its editor in the browser does."""
        newest = self.versions[uid][-1]
        data = {**newest["data"], **changes, "version": newest["version"] + 1}
        self.versions[uid].append({"version": newest["version"] + 1, "message": "", "data": data})

    def get(self, path: str) -> Reply:
        if path == "/api/health":
            return 200, {"database": "ok", "version": "11.6.0"}
        if match := re.fullmatch(r"/api/folders/([\w-]+)", path):
            return self._found(self.folders.get(match[1]), "folder not found")
        if match := re.fullmatch(r"/api/datasources/uid/([\w-]+)", path):
            return self._found(self.data_sources.get(match[1]), "Data source not found")
        if match := re.fullmatch(r"/api/dashboards/uid/([\w-]+)", path):
            if match[1] not in self.versions:
                return 404, {"message": "Dashboard not found"}
            newest = self.versions[match[1]][-1]
            meta = {"folderUid": "driftline", "provisioned": match[1] in self.provisioned, "version": newest["version"]}
            return 200, {"dashboard": newest["data"], "meta": meta}
        if match := re.fullmatch(r"/api/dashboards/uid/([\w-]+)/versions\?limit=(\d+)", path):
            listed = [{k: v for k, v in one.items() if k != "data"} for one in self.versions.get(match[1], [])]
            newest_first = listed[::-1][: int(match[2])]
            return 200, {"continueToken": "", "versions": newest_first} if self.wrapped_versions else newest_first
        return 404, {"message": "Not found"}

    def post(self, path: str, body: Json) -> Reply:
        if path == "/api/folders":
            self.folders[body["uid"]] = {**body, "id": len(self.folders) + 1, "version": 1}
            return 200, self.folders[body["uid"]]
        if path == "/api/datasources":
            if body["uid"] in self.data_sources or any(d["name"] == body["name"] for d in self.data_sources.values()):
                return 409, {"message": "data source with the same name already exists"}
            return 200, {"datasource": self._put_data_source(body), "message": "Datasource added"}
        if path == "/api/dashboards/db":
            return self._save(body)
        return 404, {"message": "Not found"}

    def put(self, path: str, body: Json) -> Reply:
        match = re.fullmatch(r"/api/datasources/uid/([\w-]+)", path)
        if match is None or match[1] not in self.data_sources:
            return 404, {"message": "Data source not found"}
        return 200, {"datasource": self._put_data_source(body), "message": "Datasource updated"}

    def _put_data_source(self, body: Json) -> Json:
        kept = {name: value for name, value in body.items() if name != "secureJsonData"}
        kept["secureJsonFields"] = dict.fromkeys(body.get("secureJsonData", {}), True)
        self.data_sources[body["uid"]] = {"id": 1, "basicAuth": False, **kept}
        return self.data_sources[body["uid"]]

    def _save(self, body: Json) -> Reply:
        for action in self.before_save:
            action()
        content = dict(body["dashboard"])
        uid = content["uid"]
        if body["folderUid"] not in self.folders:
            return 400, {"message": "folder not found"}
        if uid in self.provisioned:
            return 400, {"message": "Cannot save provisioned dashboard"}
        known = self.versions.get(uid, [])
        if known and not body["overwrite"] and content.get("version") != known[-1]["version"]:
            message = "The dashboard has been changed by someone else"
            return 412, {"message": message, "status": "version-mismatch"}
        version = known[-1]["version"] + 1 if known else 1
        content |= {"version": version, "id": len(self.versions) + 1 if not known else known[-1]["data"]["id"]}
        self.versions.setdefault(uid, []).append({"version": version, "message": body["message"], "data": content})
        return 200, {
            "id": content["id"],
            "uid": uid,
            "version": version,
            "status": "success",
            "slug": "x",
            "url": "/d/x",
        }

    @staticmethod
    def _found(value: Json | None, otherwise: str) -> Reply:
        return (200, value) if value is not None else (404, {"message": otherwise})


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def _answer(self, method: str) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size)) if size else {}
        state = self.server.state
        path = self.path.removeprefix(self.server.prefix)
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            status, reply = 401, {"message": "Invalid API key"}
        else:
            if method != "get":
                state.writes.append(f"{method.upper()} {path}")
            status, reply = state.get(path) if method == "get" else getattr(state, method)(path, body)
        data = json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        self._answer("get")

    def do_POST(self) -> None:
        self._answer("post")

    def do_PUT(self) -> None:
        self._answer("put")

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    def __init__(self, prefix: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.state = GrafanaState()
        self.prefix = prefix


@contextmanager
def running_grafana(prefix: str = "") -> Iterator[tuple[str, GrafanaState]]:
    """The server's address and what it holds; served below `prefix`."""
    with serving(_Server(prefix)) as server:
        yield f"http://127.0.0.1:{server.server_port}{prefix}", server.state
