"""The dashboard and the alerts name only what /metrics has, and each alert says what to do."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
import yaml
from flask.testing import FlaskClient

from krotray_core import heartbeats, leases
from krotray_core.models import Server
from sandbox.world import ROOT
from tests.test_metrics import scraped

RULES = ROOT / "deploy/prometheus/krotray.rules.yml"
DASHBOARD = ROOT / "deploy/grafana/krotray.json"
NAME = re.compile(r"\bkrotray_[a-z0-9_]+")


def alerts() -> list[dict[str, Any]]:
    """Every rule."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    """Every panel that shows something."""
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


@pytest.fixture
def there(client: FlaskClient, fleet: list[Server]) -> dict[str, float]:
    """What a scrape of a running service has."""
    assert fleet
    heartbeats.note("celery@here", ["money", "access", "care"])
    assert leases.take(heartbeats.BEAT, "a beat", timedelta(minutes=1))
    client.get("/healthz")
    return scraped(client.get("/metrics").text)


def test_every_name_is_one_that_metrics_has(there: dict[str, float]) -> None:
    known = {re.sub(r"\{.*", "", name) for name in there}
    said = [rule["expr"] for rule in alerts()]
    said += [target["expr"] for panel in panels() for target in panel["targets"]]
    named = {name for expression in said for name in NAME.findall(expression)}
    assert len(named) >= 20
    assert named <= known
    # And nothing is measured that nobody ever sees.
    shown = {re.sub(r"_(bucket|count|sum)$", "", name) for name in named}
    unseen = {
        re.sub(r"_(bucket|count|sum|created)$", "", name) for name in known if name.startswith("krotray_")
    } - shown
    assert unseen == {"krotray_overdue_subscriptions", "krotray_flagged_payments_oldest_seconds"}


def test_each_alert_says_what_is_wrong_and_what_to_do() -> None:
    for rule in alerts():
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]
        assert len(rule["annotations"]["runbook"]) > 30
    assert len({rule["alert"] for rule in alerts()}) == len(alerts())


def test_the_commands_in_the_runbooks_exist(client: FlaskClient) -> None:
    commands = client.application.cli.commands
    for rule in alerts():
        for words in re.findall(r"`flask ([a-z -]+)", rule["annotations"]["runbook"]):
            group, *rest = words.split()
            assert group in commands
            if rest:
                assert rest[0] in commands[group].commands, words


def test_the_panels_do_not_overlap() -> None:
    taken = set()
    for panel in panels():
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken
        assert at["x"] + at["w"] <= 24
        taken |= cells
