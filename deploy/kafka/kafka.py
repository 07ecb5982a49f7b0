"""A real Apache Kafka on this machine alone, with nothing but Java: for tests, and to try out what runs on several.

`python deploy/kafka/kafka.py get` brings the programs from Maven Central into a cache folder, with `mvn`, once.
`python deploy/kafka/kafka.py run --folder DIR --port 9092` runs one server on loopback (KRaft: broker and controller in
one process) until it is ended; its data stay in DIR. Not for production: one server keeps one copy of each record.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from pathlib import Path

POM = Path(__file__).with_name("pom.xml")
DEFAULT_PORT = 9092
_MAVEN_SECONDS = 900
_FORMAT_SECONDS = 120
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={logs}
num.partitions=4
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
"""


class KafkaError(Exception):
    """Kafka cannot be had or started; the message says why."""


def cache_folder() -> Path:
    """Where the programs lie: one folder for each version of pom.xml."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "driftline" / f"kafka-{hashlib.sha256(POM.read_bytes()).hexdigest()[:12]}"


def jars(folder: Path) -> list[Path]:
    """The programs in a cache folder; none where they were not brought there, or not all of them."""
    return sorted(folder.glob("*.jar"))


def get() -> Path:
    """Bring the programs into the cache folder, where they are not there yet, and return it. Raises KafkaError."""
    folder = cache_folder()
    if jars(folder):
        return folder
    if shutil.which("mvn") is None:
        raise KafkaError("mvn is not on PATH, which brings Kafka's programs (Debian, Ubuntu: apt install maven)")
    partial = folder.with_name(f"{folder.name}.{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    ran = subprocess.run(
        ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies", f"-DoutputDirectory={partial}"],
        capture_output=True,
        text=True,
        timeout=_MAVEN_SECONDS,
        check=False,
    )
    if ran.returncode or not jars(partial):
        shutil.rmtree(partial, ignore_errors=True)
        raise KafkaError(f"mvn did not bring Kafka's programs: {(ran.stdout + ran.stderr).strip()[-2000:]}")
    try:
        partial.rename(folder)  # whole or not at all
    except OSError:
        shutil.rmtree(partial)  # another was quicker
    return folder


def prepare(programs: Path, folder: Path, port: int) -> list[str]:
    """Make the folder ready, and return the command that runs the server in it. Raises KafkaError."""
    if shutil.which("java") is None:
        raise KafkaError("java is not on PATH (Debian, Ubuntu: apt install openjdk-17-jre-headless)")
    folder.mkdir(parents=True, exist_ok=True)
    properties, logs = folder / "server.properties", folder / "data"
    with socket.create_server(("127.0.0.1", 0)) as probe:
        controller = int(probe.getsockname()[1])
    properties.write_text(_PROPERTIES.format(port=port, controller=controller, logs=logs))
    java = ["java", "-Xmx512m", "-Xms128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    java += ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", ":".join(map(str, jars(programs)))]
    if not (logs / "meta.properties").exists():
        drawn = uuid.uuid4().bytes
        # The first bit is left out, so that the name begins with a letter: with "-" it would be taken for an option.
        name = urlsafe_b64encode(bytes([drawn[0] & 0x7F]) + drawn[1:]).decode().rstrip("=")
        made = subprocess.run(
            [*java, "kafka.tools.StorageTool", "format", "-t", name, "-c", str(properties)],
            capture_output=True,
            text=True,
            timeout=_FORMAT_SECONDS,
            check=False,
        )
        if made.returncode:
            raise KafkaError(f"{logs} could not be made ready: {(made.stdout + made.stderr).strip()[-2000:]}")
    return [*java, "kafka.Kafka", str(properties)]


def main(arguments: Sequence[str]) -> int:
    """Bring the programs, or run a server in this process's place until it is ended."""
    parser = argparse.ArgumentParser(prog="kafka.py", description="A real Apache Kafka on loopback, with Java alone.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("get", help="bring the programs into the cache folder, and print it")
    run = commands.add_parser("run", help="run one server until it is ended")
    run.add_argument("--folder", type=Path, default=Path("var/kafka"), help="where its data lie (var/kafka)")
    run.add_argument("--port", type=int, default=DEFAULT_PORT, help=f"on 127.0.0.1 ({DEFAULT_PORT})")
    chosen = parser.parse_args(arguments)
    try:
        programs = get()
        if chosen.command == "get":
            print(programs)
            return 0
        command = prepare(programs, chosen.folder.resolve(), chosen.port)
    except (KafkaError, OSError, subprocess.TimeoutExpired) as error:
        print(f"kafka: {error}", file=sys.stderr)
        return 1
    print(f"kafka: 127.0.0.1:{chosen.port}, data in {chosen.folder}", file=sys.stderr, flush=True)
    return os.execvp(command[0], command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
