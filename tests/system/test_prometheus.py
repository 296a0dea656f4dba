"""Prometheus itself reads our rules, and finds nothing to say against the names in /metrics."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from sandbox.service import Service
from sandbox.world import ROOT, World

DEPLOY = ROOT / "deploy/prometheus"

# Somebody waits for a key for ten minutes, and YooKassa is not asked; A is down, C is switched off and empty, D has people until
# it is emptied; nobody works on the queue money.
RULE_TEST = """
rule_files: [krotray.rules.yml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {series: krotray_unprovisioned_seats_oldest_seconds, values: "0+60x20"}
      - {series: 'krotray_server_up{server="A"}', values: "1 1 0x20"}
      - {series: 'krotray_server_up{server="B"}', values: "1x20"}
      - {series: 'krotray_server_up{server="C"}', values: "0x20"}
      - {series: 'krotray_server_up{server="D"}', values: "0x20"}
      - {series: 'krotray_server_enabled{server="A"}', values: "1x20"}
      - {series: 'krotray_server_enabled{server="B"}', values: "1x20"}
      - {series: 'krotray_server_enabled{server="C"}', values: "0x20"}
      - {series: 'krotray_server_enabled{server="D"}', values: "0x20"}
      - {series: 'krotray_server_users{server="A"}', values: "0x20"}
      - {series: 'krotray_server_users{server="C"}', values: "0x20"}
      - {series: 'krotray_server_users{server="D"}', values: "3x8 0x12"}
      - {series: 'krotray_workers{queue="money"}', values: "0x20"}
      - {series: 'krotray_workers{queue="care"}', values: "2x20"}
      - {series: krotray_hinted_payments_oldest_seconds, values: "0+70x20"}
    alert_rule_test:
      - {eval_time: 5m, alertname: KrotRayPaidWithoutKey, exp_alerts: []}
      - eval_time: 10m
        alertname: KrotRayServerDown
        exp_alerts:
          - exp_labels: {severity: page, server: A}
            exp_annotations:
              summary: "Server A does not answer"
              runbook: >-
                `flask servers check A` says why. New buyers get places on others by themselves.
                Away for long: `flask servers evacuate`.
      - eval_time: 5m
        alertname: KrotRayServerDown
        exp_alerts:
          - exp_labels: {severity: page, server: D}
            exp_annotations:
              summary: "Server D does not answer"
              runbook: >-
                `flask servers check D` says why. New buyers get places on others by themselves.
                Away for long: `flask servers evacuate`.
          - exp_labels: {severity: page, server: A}
            exp_annotations:
              summary: "Server A does not answer"
              runbook: >-
                `flask servers check A` says why. New buyers get places on others by themselves.
                Away for long: `flask servers evacuate`.
      - {eval_time: 4m, alertname: KrotRayPaidNotCounted, exp_alerts: []}
    promql_expr_test:
      - eval_time: 6m
        expr: ALERTS{alertname=~"KrotRayPaidNotCounted|KrotRayNoWorkers", alertstate="firing"}
        exp_samples:
          - {labels: 'ALERTS{alertname="KrotRayPaidNotCounted", alertstate="firing", severity="page"}', value: 1}
          - {labels: 'ALERTS{alertname="KrotRayNoWorkers", alertstate="firing", queue="money", severity="page"}', value: 1}
"""


@pytest.fixture(scope="module")
def promtool(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The checker out of Debian's package, unpacked and not installed: that would start a server."""
    found = shutil.which("promtool")
    if found:
        return found
    folder = tmp_path_factory.mktemp("prometheus")
    folder.chmod(0o777)
    commands = (["apt-get", "-qq", "update"], ["apt-get", "-qq", "download", "prometheus"])
    for command in commands:
        answer = subprocess.run(  # noqa: S603 - our own commands
            command, cwd=folder, env=os.environ, capture_output=True, text=True, timeout=600, check=False
        )
        if answer.returncode:
            pytest.fail(f"{' '.join(command)}: {answer.stderr.strip()[-500:]}")
    (package,) = folder.glob("prometheus_*.deb")
    subprocess.run(["dpkg-deb", "-x", str(package), str(folder)], check=True, timeout=120)  # noqa: S603, S607
    return str(folder / "usr/bin/promtool")


def check(promtool: str, *arguments: str, said: str = "") -> str:
    """Runs it; fails the test with what it finds wrong."""
    answer = subprocess.run(  # noqa: S603 - our own command
        [promtool, *arguments], input=said, capture_output=True, text=True, timeout=60, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout + answer.stderr


def test_the_rules_can_be_read_and_fire(promtool: str, tmp_path: Path) -> None:
    for path in DEPLOY.iterdir():
        shutil.copy(path, tmp_path)
    check(promtool, "check", "rules", str(tmp_path / "krotray.rules.yml"))
    check(promtool, "check", "config", str(tmp_path / "prometheus.yml"))
    (tmp_path / "test.yml").write_text(RULE_TEST)
    check(promtool, "test", "rules", str(tmp_path / "test.yml"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The world outside."""
    made = World(tmp_path_factory.mktemp("prometheus-world"))
    yield made
    made.stop()


def test_the_names_keep_prometheus_s_rules(promtool: str, world: World) -> None:
    service = Service(world, processes=("web",))
    try:
        service.add_servers(world)
        said = requests.get(f"{service.url}/metrics", timeout=10).text
        assert check(promtool, "check", "metrics", said=said) == ""
    finally:
        service.stop()
