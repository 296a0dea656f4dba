"""`flask servers keygen`: what it prints makes a real Xray, and the line it prints adds that Xray as it is."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask

from krotray_core import cabinet, health, provisioning, reality, server_checks, servers, subscriptions
from krotray_core.errors import Invalid
from krotray_core.models import User
from sandbox.parts import vpn
from sandbox.process import Process, free_port, listening
from sandbox.world import World
from tests import pages
from tests.cli.kit import Admin
from tests.test_reality import SITE, certificate

PLAN = reality.Plan("203.0.113.10", 443, SITE, "127.0.0.1", 8080, "vless-in")


def run_node(config: Path, folder: Path, *ports: int) -> Process:
    """A real Xray with this config."""
    node = Process("Xray", [sys.executable, "-m", "sandbox.xray_node", str(config)], log=folder / "xray.log")
    node.wait_ready(lambda: all(map(listening, ports)))
    return node


def allow_loopback(config: Path) -> None:
    """The page of the test is on loopback, where Xray lets nobody through by itself."""
    read = json.loads(config.read_text())
    read["outbounds"][0]["settings"] = {"finalRules": [{"action": "allow"}]}
    config.write_text(json.dumps(read))


def test_from_nothing_to_a_page_through_reality(app: Flask, fresh: World, user: User, tmp_path: Path) -> None:
    """The config as it was written and the line as it was printed: servers add, converge, and a real client gets a page."""
    assert fresh
    admin, config, api, port = Admin(app), tmp_path / "main.json", free_port(), free_port()
    with pages.serving(certificate(tmp_path)) as site, pages.serving() as page:
        line = admin(
            *("servers", "keygen", "--name", "Main $1", "--address", "127.0.0.1", "--port", port, "--site", SITE),
            *("--grpc-port", api, "--max-users", 5, "--target", f"127.0.0.1:{site}", "--config", config),
        )
        allow_loopback(config)
        node = run_node(config, tmp_path, api, port)
        try:
            program, *words = shlex.split(line)
            assert program == "flask"
            assert admin(*words) == f"Добавлен сервер: Main $1 127.0.0.1:{api} (max_users=5)\n"
            assert {finding.level for finding in server_checks.check("Main $1")} == {"ok"}
            subscriptions.grant(user.telegram_id, 30)
            server = servers.by_name("Main $1")
            provisioning.converge(server.id)
            link = cabinet.of_user(user.id).vless_url
            assert link
            with vpn(link, tmp_path) as client:
                assert client.fetch(f"http://127.0.0.1:{page}/") == pages.TEXT
            assert health.audit(server.id).clean
        finally:
            node.kill()


def test_it_prints_everything_where_no_file_is_named(app: Flask, fresh: World) -> None:
    assert fresh
    printed = Admin(app)("servers", "keygen", "--name", "Main", "--address", "203.0.113.10", "--site", SITE)
    config, end = json.JSONDecoder().raw_decode(printed)
    words = shlex.split(printed[end:])
    assert words[:5] == ["flask", "servers", "add", "--name", "Main"]
    query = parse_qs(urlsplit(words[-1]).query)
    reality_settings = config["inbounds"][0]["streamSettings"]["realitySettings"]
    assert query["sid"] == reality_settings["shortIds"]
    assert query["sni"] == reality_settings["serverNames"] == [SITE]
    assert config["api"]["listen"] == "127.0.0.1:8080"
    assert config["routing"] == {"rules": []}, "there has to be a router for the cut-off rule"
    assert {outbound["tag"] for outbound in config["outbounds"]} == {"direct", "block"}
    assert reality_settings["privateKey"] not in printed[end:], "the private key stays in the config"


def test_the_same_as_json(app: Flask, fresh: World) -> None:
    assert fresh
    said = Admin(app).json("servers", "keygen", "--name", "Main", "--address", "vpn.example.com", "--site", SITE)
    assert said["config"]["inbounds"][0]["port"] == 443
    assert f"pbk={said['public_key']}&" in said["add"]
    assert "@vpn.example.com:443?" in said["add"]


def test_a_config_is_never_written_over_and_is_for_its_owner(app: Flask, fresh: World, tmp_path: Path) -> None:
    assert fresh
    admin, config = Admin(app), tmp_path / "main.json"
    words = ("servers", "keygen", "--name", "Main", "--address", "203.0.113.10", "--site", SITE, "--config", config)
    admin(*words)
    assert config.stat().st_mode & 0o777 == 0o600
    before = config.read_text()
    assert "File exists" in admin.fails(*words)
    assert config.read_text() == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"site": "https://example.com"},
        {"site": "203.0.113.1"},
        {"site": "localhost"},
        {"address": "vpn.example.com:443"},
        {"address": "not a name"},
        {"address": "a&b=c"},
        {"inbound_tag": "two words"},
        {"inbound_tag": ""},
        {"api_host": "xray.example.com"},
        {"api_port": 443},
    ],
)
def test_what_no_server_can_be_made_of_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(Invalid):
        reality.check(PLAN._replace(**wrong))


def test_addresses_are_written_as_links_want_them() -> None:
    made = reality.keys()
    assert "@[2001:db8::1]:443?" in reality.template(reality.check(PLAN._replace(address="[2001:DB8::1]")), made)
    assert reality.config(reality.check(PLAN._replace(api_host="fd00::2")), made)["api"]["listen"] == "[fd00::2]:8080"


def test_no_two_servers_share_keys() -> None:
    made = [reality.keys() for _ in range(20)]
    assert len({key for one in made for key in one}) == 60
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", key) for one in made for key in one[:2])
    assert all(re.fullmatch(r"[0-9a-f]{16}", one.short_id) for one in made)
