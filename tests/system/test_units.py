"""The systemd units: systemd accepts them, they shut in what they run, and `systemctl restart krotray` reaches everything."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.parts import vpn
from sandbox.person import Person
from sandbox.process import Process, free_port, listening, wait_until
from sandbox.service import PROCESSES, Service
from sandbox.world import ROOT, World
from tests.system.conftest import installed

UNITS = ROOT / "deploy" / "systemd"
EXPOSURE = 2.0  # of 10; systemd calls 1 to 4 "OK"


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The units as they are, but for a checkout and a user that are here."""
    folder = tmp_path_factory.mktemp("systemd") / "system"
    shutil.copytree(UNITS, folder)
    for path in folder.rglob("*.*"):
        if path.is_file():
            text = path.read_text().replace("/opt/krotray", str(ROOT))
            path.write_text(re.sub(r"^(User|Group)=krotray$", r"\1=daemon", text, flags=re.MULTILINE))
    return folder


def analyze(units: Path, *arguments: str) -> str:
    """What systemd-analyze says; it must not complain."""
    program = installed("systemd-analyze", "systemd")
    environment = os.environ | {"SYSTEMD_UNIT_PATH": f"{units}:", "SYSTEMD_COLORS": "0"}
    answer = subprocess.run(  # noqa: S603 - our own command
        [program, *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert answer.returncode == 0, answer.stderr
    assert "krotray" not in answer.stderr, answer.stderr
    return answer.stdout


def test_systemd_accepts_them(units: Path) -> None:
    names = sorted(str(path) for path in units.iterdir() if path.is_file())
    assert len(names) == len(PROCESSES) + 4, "the processes, the umbrella, the target, the socket and one more worker"
    analyze(units, "verify", "--man=no", *names)


@pytest.mark.parametrize("process", PROCESSES)
def test_each_process_is_shut_in(units: Path, process: str) -> None:
    said = analyze(units, "security", "--offline=true", f"{units}/krotray-{process}.service")
    found = re.search(r"exposure level for \S+: ([0-9.]+)", said)
    assert found
    assert float(found[1]) <= EXPOSURE, said


def read(name: str) -> configparser.ConfigParser:
    """A unit file."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNITS / name)
    return parser


def test_one_name_starts_and_stops_everything() -> None:
    """What `systemctl start|stop|restart krotray` pass on: Wants pulls in, PartOf stops and restarts."""
    assert read("krotray.service")["Unit"]["Wants"].split()[0] == "krotray.target"
    wanted = read("krotray.target")["Unit"]["Wants"].split()
    assert wanted == [f"krotray-{process}.service" for process in PROCESSES]
    for name in ("krotray-.service.d/common.conf", "krotray-web.socket", "krotray.target"):
        assert "krotray.service" in read(name)["Unit"]["PartOf"].split()


def test_each_runs_its_line_of_the_procfile() -> None:
    lines = dict(re.findall(r"^([a-z]+): (.*)$", (ROOT / "Procfile").read_text(), re.MULTILINE))
    assert lines.keys() == {*PROCESSES, "release"}
    for process in PROCESSES:
        assert read(f"krotray-{process}.service")["Service"]["ExecStart"] == f"/opt/krotray/deploy/run {process}"
    graceful = re.search(r"--graceful-timeout (\d+)", lines["web"])
    assert graceful
    assert float(read("krotray-web.service")["Service"]["TimeoutStopSec"]) > float(graceful[1])


def test_no_start_hangs_for_ever() -> None:
    """systemd waits for a oneshot as long as it takes, unless told otherwise; all others count as started at once."""
    for path in UNITS.glob("*.service"):
        service = read(path.name)["Service"]
        assert service.get("Type", "simple") in ("simple", "oneshot")
        assert "Type" not in service or float(service["TimeoutStartSec"]) <= 60, path.name


def test_one_more_worker_says_which_queue_and_under_which_name() -> None:
    command = read("krotray-worker@.service")["Service"]["ExecStart"]
    assert command == "/usr/bin/env WORKER_QUEUES=%i WORKER_NAME=%i /opt/krotray/deploy/run worker"


def test_a_name_that_the_procfile_does_not_know_is_refused() -> None:
    answer = subprocess.run(  # noqa: S603 - our own command
        [str(ROOT / "deploy" / "run"), "wbe"], capture_output=True, text=True, timeout=10, check=False
    )
    assert (answer.returncode, answer.stderr) == (2, "the Procfile has no process wbe\n")


def test_the_processes_live_with_what_they_are_forbidden(tmp_path: Path) -> None:
    """Without systemd: the same system calls, memory and capabilities, in all five, up to a key that works."""
    common = (UNITS / "krotray-.service.d" / "common.conf").read_text()
    allowed, forbidden = re.findall(r"^SystemCallFilter=~?(.*)$", common, re.MULTILINE)
    assert "MemoryDenyWriteExecute=yes" in common
    shut_in = [installed("setpriv", "util-linux"), "--bounding-set=-all", "--inh-caps=-all", sys.executable]
    shut_in += [str(Path(__file__).with_name("confine.py")), allowed.replace(" ", ","), forbidden.replace(" ", ",")]
    world = World(tmp_path / "world")
    service, processes = None, list[Process]()
    try:
        service = Service(world, processes=("web",))  # migrates
        service.add_servers(world)
        service.process.stop()
        environment = service.environment | {"FLOWER_PORT": str(free_port())}
        for name in PROCESSES:
            command = [*shut_in, str(ROOT / "deploy" / "run"), name]
            processes.append(Process(name, command, log=tmp_path / f"{name}.log", env=environment, cwd=ROOT))
        processes[0].wait_ready(lambda: listening(world.web_port), seconds=60)
        person = Person(world)
        person.pay(person.buy()["confirmation_url"])
        key = person.wait_for("active", seconds=60)["subscription"]["vless_url"]
        with vpn(key, tmp_path / "client") as client:
            assert "KrotRay" in (client.fetch(f"{world.web_url}/app/") or "")
        wait_until(lambda: listening(int(environment["FLOWER_PORT"])), seconds=30, what="Flower")
        wait_until(lambda: "fires from now on" in processes[2].log.read_text(), seconds=30, what="the beat")
        for process in processes:
            assert process.running, process.tail()
            assert "Operation not permitted" not in process.log.read_text(), process.name
            process.stop(seconds=40)
            assert process.wait(1) == 0, process.tail()
    finally:
        for process in processes:
            process.kill()
        if service:
            service.stop()
        world.stop()
