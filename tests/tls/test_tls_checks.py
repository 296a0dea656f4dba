"""TLS on the way to Xray: a server that is added with its files, and what `servers check` says of the way."""

from __future__ import annotations

import re
import socket
import time
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from krotray_core import certificates, provisioning, server_checks, servers
from krotray_core.errors import XrayUnavailable
from krotray_core.models import Server
from krotray_core.xray.client import DEADLINE_SECONDS, XrayClient
from krotray_core.xray.tls import Tls
from sandbox.process import free_port
from sandbox.world import ROOT, World
from tests import tls_kit
from tests.cli.kit import Admin
from tests.tls_kit import Authority, Proxy, add, way

MAIN = ("servers", "add", "--name=Main", "--host=127.0.0.1", "--max-users=10", "--grpc-port")


def test_a_server_is_added_with_its_files(
    admin: Admin, ours: Authority, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The paths are stored whole, since workers run somewhere else."""
    monkeypatch.chdir(ours.folder)
    admin(*MAIN, proxy.port, "--tls-ca=ca.pem", "--tls-cert=client.pem", "--tls-key=client.key")
    server = servers.by_name("Main")
    assert server.is_up
    assert Tls(server.tls_ca or "", server.tls_cert, server.tls_key) == ours.tls()
    assert way() == ("ok", "the way to it is mutual TLS")


def certificates_(authority: Authority, port: int) -> list[tuple[str, str]]:
    """What a check says about the certificates: the CA's, ours, the server's."""
    server = Server(host="127.0.0.1", grpc_port=port, tls_ca=authority.ca, **_pair(authority))
    return [(one.level, one.text) for one in server_checks._check_certificates(server)]


def _pair(authority: Authority) -> dict[str, str | None]:
    return {"tls_cert": authority.tls().cert, "tls_key": authority.tls().key}


def test_a_check_says_until_when_the_certificates_are_good(ours: Authority, proxy: Proxy) -> None:
    said = certificates_(ours, proxy.port)
    assert [level for level, _ in said] == ["ok", "ok", "ok"]
    assert all(re.search(r" is good until [0-9]{4}-[0-9]{2}-[0-9]{2}$", text) for _, text in said)
    add(proxy.port, ours.tls())
    texts = [one.text for one in server_checks.check("Main")]
    assert all(text in texts for _, text in said)


@pytest.mark.parametrize(("days", "said"), [(-1, ("failed", "ran out on")), (20, ("warning", "in 19 days"))])
def test_a_certificate_that_has_run_out_or_soon_will(
    fresh: World, tmp_path: Path, ours: Authority, days: int, said: tuple[str, str]
) -> None:
    level, words = said
    for_that = timedelta(days=days)
    ours.issue("client", ExtendedKeyUsageOID.CLIENT_AUTH, good_for=for_that)
    ours.issue("server", ExtendedKeyUsageOID.SERVER_AUTH, good_for=for_that)
    with tls_kit.proxy(ours, fresh.nodes[0].grpc_port) as proxy:
        ca, *rest = certificates_(ours, proxy.port)
        assert ca[0] == "ok"
        assert [one[0] for one in rest] == [level] * 2
        assert all(words in one[1] for one in rest)
        old = Authority(tmp_path / "old", good_for=for_that)
        ca, mine, theirs = certificates_(old, proxy.port)
        assert (ca[0], mine[0], theirs[0]) == (level, "ok", level), "whoever signed it"
        both = Path(old.ca).read_bytes() + Path(ours.ca).read_bytes()
        Path(old.ca).write_bytes(both)
        assert certificates_(old, proxy.port)[0][0] == "ok", "the next CA is there beside the old one"


def test_who_shows_no_certificate_in_time_fails_the_check(ours: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that takes the connection and says nothing."""
    monkeypatch.setattr(certificates, "HANDSHAKE_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        levels = [level for level, _ in certificates_(ours, silent.getsockname()[1])]
    assert sorted(levels) == ["failed", "ok", "ok"]
    assert time.monotonic() - began < 2
    Path(ours.ca).write_text("nothing")
    assert "cannot be read" in certificates_(ours, 1)[0][1]


@pytest.mark.parametrize("given", ["cert", "key", "cert key"])
def test_a_certificate_without_a_ca_is_wrong_usage(admin: Admin, ours: Authority, given: str) -> None:
    files = {"cert": f"--tls-cert={ours.tls().cert}", "key": f"--tls-key={ours.tls().key}"}
    said = admin.misused(*MAIN, free_port(), *(files[name] for name in given.split()))
    assert "--tls-ca" in said
    assert servers.everyone() == []


@pytest.mark.parametrize("option", ["--tls-ca", "--tls-cert", "--tls-key"])
def test_the_first_server_takes_its_tls_from_nowhere_else(admin: Admin, option: str) -> None:
    admin.misused("servers", "add", "--from-env", f"{option}=file.pem")


def test_half_a_pair_and_missing_files_add_nothing(admin: Admin, ours: Authority) -> None:
    ca = f"--tls-ca={ours.ca}"
    assert "go together" in admin.misused(*MAIN, free_port(), ca, f"--tls-cert={ours.tls().cert}")
    assert "No such file" in admin.fails(*MAIN, free_port(), f"--tls-ca={ours.ca}.gone")
    assert servers.everyone() == []


NEAR = ["127.0.0.1", "127.9.9.9", "::1", "10.1.2.3", "172.31.0.1", "192.168.1.1", "fd00::1", "::ffff:10.0.0.1"]
PUBLIC = ["8.8.8.8", "172.32.0.1", "203.0.113.5", "100.64.0.1", "2001:4860:4860::8888", "::ffff:8.8.8.8"]


@pytest.fixture
def nobody_is_called(fresh: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """These addresses are somebody's."""
    assert fresh

    def client(server: Server) -> XrayClient:
        raise XrayUnavailable(f"{server.name} is not to be called")

    monkeypatch.setattr(provisioning, "client", client)


@pytest.mark.usefixtures("nobody_is_called")
@pytest.mark.parametrize("host", NEAR)
def test_plain_text_close_by_is_fine(host: str) -> None:
    add(8080, None, host=host)
    assert way() == ("ok", "plain text, but only over loopback or a private network")


@pytest.mark.usefixtures("nobody_is_called")
@pytest.mark.parametrize("host", PUBLIC)
def test_plain_text_over_a_public_network_is_warned_of_loudly(admin: Admin, host: str) -> None:
    add(8080, None, host=host)
    level, text = way()
    assert level == "warning"
    assert text.startswith(f"PLAIN TEXT to {host}, ")
    assert "docs/xray-tls.md" in text
    assert "PLAIN TEXT" in admin.run("servers", "check").stdout


@pytest.mark.usefixtures("nobody_is_called")
def test_tls_without_a_certificate_of_ours_keeps_nobody_out(ours: Authority) -> None:
    add(8443, Tls(ours.ca), host="8.8.8.8")
    level, text = way()
    assert (level, "--tls-cert" in text) == ("warning", True)
    servers.remove("Main")
    add(8443, Tls(ours.ca))
    assert way()[0] == "ok"
    servers.remove("Main")
    add(8443, ours.tls(), host="8.8.8.8")
    assert way()[0] == "ok"


@pytest.mark.usefixtures("nobody_is_called")
@pytest.mark.parametrize("host", ["nowhere.invalid", "x" * 64 + ".invalid"])
def test_a_name_that_nobody_knows_fails_the_check(admin: Admin, host: str) -> None:
    add(8080, None, host=host)
    level, text = way()
    assert level == "failed"
    assert host in text
    assert admin.run("servers", "check").exit_code == 1


@pytest.mark.usefixtures("fresh")
def test_a_check_does_not_wait_long_for_a_server_behind_a_silent_address() -> None:
    """203.0.113.0/24 is for documentation: nobody is there."""
    add(8080, None, host="203.0.113.5")
    began = time.monotonic()
    assert [finding.level for finding in server_checks.check("Main")] == ["ok", "warning", "failed"]
    assert time.monotonic() - began < DEADLINE_SECONDS + 1


def test_the_documentation_fills_in_every_placeholder_of_the_configurations() -> None:
    text = (ROOT / "docs" / "xray-tls.md").read_text()
    for path in (ROOT / "deploy" / "xray").iterdir():
        (command,) = re.findall(rf"^sed (?:.*\\\n)*.*{re.escape(f'deploy/xray/{path.name}')}", text, re.MULTILINE)
        assert set(re.findall(r"s\|(@[A-Z]+@)\|", command)) == set(re.findall("@[A-Z]+@", path.read_text()))
