"""TLS on the way to Xray: who gets through, files that are wrong, vanish or are renewed, and what `servers check` says."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.x509 import load_pem_x509_certificate
from cryptography.x509.oid import ExtendedKeyUsageOID

from krotray_core import certificates, health, provisioning, server_checks, servers, users
from krotray_core.errors import Invalid, XrayUnavailable
from krotray_core.models import Server, User
from krotray_core.xray import channels
from krotray_core.xray.client import DEADLINE_SECONDS, XrayClient
from krotray_core.xray.operations import Add, Remove
from krotray_core.xray.tls import Tls
from sandbox.process import free_port, wait_until
from sandbox.world import ROOT, World
from tests import tls_kit
from tests.cli.kit import Admin
from tests.seats_kit import give, here
from tests.tls_kit import Authority, Proxy

MAIN = ("servers", "add", "--name=Main", "--host=127.0.0.1", "--max-users=10", "--grpc-port")


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    """Our CA."""
    return Authority(tmp_path / "ours")


@pytest.fixture
def other(tmp_path: Path) -> Authority:
    """Somebody else's."""
    return Authority(tmp_path / "other")


@pytest.fixture
def proxy(fresh: World, ours: Authority) -> Iterator[Proxy]:
    """Mutual TLS in front of the first Xray."""
    with tls_kit.proxy(ours, fresh.nodes[0].grpc_port) as made:
        yield made


@pytest.fixture
def admin(app: object, fresh: World) -> Admin:
    """An admin at the keyboard."""
    assert fresh
    return Admin(app)  # type: ignore[arg-type]


def add(port: int, tls: Tls | None, host: str = "127.0.0.1") -> Server:
    """A server behind a proxy."""
    return servers.add(
        name="Main", host=host, grpc_port=port, max_users=1000, inbound_tag=None, vless_url_template=None, tls=tls
    )


def way(name: str = "Main") -> tuple[str, str]:
    """What a check says about the way to the server."""
    found = server_checks.check(name)[1]
    return found.level, found.text


def test_with_our_certificates_all_is_as_without_tls(user: User, ours: Authority, proxy: Proxy) -> None:
    server = add(proxy.port, ours.tls())
    assert (server.is_up, server.last_error) == (True, None)
    give(user)
    provisioning.converge(server.id)
    assert here(server) == {users.email(user.id)}
    health.audit(server.id)  # other tests have left their users there
    assert health.audit(server.id).clean
    xray = provisioning.client(server)
    crowd = [f"crowd_{number}" for number in range(300)]
    assert xray.apply([Add(email, uuid4()) for email in crowd]) == [None] * 300
    assert xray.apply([Remove(email) for email in crowd]) == [None] * 300
    assert len(proxy.clients) == 1, "all over one connection"


@pytest.mark.parametrize("who", ["no certificate", "a stranger", "an impostor", "plain text"])
def test_nobody_else_gets_through(user: User, ours: Authority, other: Authority, proxy: Proxy, who: str) -> None:
    ways = {
        "no certificate": Tls(ours.ca),
        "a stranger": ours.tls(client=other),
        "an impostor": other.tls(client=ours),
        "plain text": None,
    }
    began = time.monotonic()
    server = add(proxy.port, ways[who])
    assert time.monotonic() - began < DEADLINE_SECONDS + 1
    assert server.is_up is False
    assert (server.last_error or "").startswith("UNAVAILABLE: ")
    give(user)
    with pytest.raises(XrayUnavailable):
        provisioning.converge(server.id)
    assert servers.by_name("Main").active_users == 0
    assert proxy.clients == []


def test_a_proxy_for_another_address_is_not_taken_for_ours(ours: Authority, proxy: Proxy) -> None:
    """Its certificate says 127.0.0.1, and the CA is right: but we have called somebody else."""
    server = add(proxy.port, ours.tls(), host="localhost")
    assert server.is_up is False
    assert "Hostname Verification Check failed" in (server.last_error or "")


def test_a_proxy_without_http2_is_named(fresh: World, ours: Authority) -> None:
    with tls_kit.proxy(ours, fresh.nodes[0].grpc_port, h2=False) as proxy:
        assert "ALPN" in (add(proxy.port, ours.tls()).last_error or "")


def damaged(ours: Authority, other: Authority, how: str) -> Tls:
    """Files that are of no use."""
    right = ours.tls()
    gone, garbage = str(ours.folder / "gone.pem"), ours.folder / "garbage.pem"
    garbage.write_text("garbage")
    locked = ours.folder / "locked.key"
    key = serialization.load_pem_private_key((ours.folder / "client.key").read_bytes(), None)
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"password"),
        )
    )
    return {
        "no CA": Tls(gone, right.cert, right.key),
        "no certificate": Tls(right.ca, gone, right.key),
        "no key": Tls(right.ca, right.cert, gone),
        "a folder": Tls(str(ours.folder)),
        "garbage for a CA": Tls(str(garbage)),
        "garbage for a certificate": Tls(right.ca, str(garbage), right.key),
        "garbage for a key": Tls(right.ca, right.cert, str(garbage)),
        "half a pair": Tls(right.ca, right.cert),
        "the other half": Tls(right.ca, key=right.key),
        "the key of another": Tls(right.ca, right.cert, str(other.folder / "client.key")),
        "a key with a password": Tls(right.ca, right.cert, str(locked)),
    }[how]


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("no CA", "No such file"),
        ("no certificate", "No such file"),
        ("no key", "No such file"),
        ("a folder", "Is a directory"),
        ("garbage for a CA", "holds no certificates"),
        ("garbage for a certificate", "no pair"),
        ("garbage for a key", "no pair"),
        ("half a pair", "belong together"),
        ("the other half", "belong together"),
        ("the key of another", "no pair"),
        ("a key with a password", "no pair"),
    ],
)
def test_files_of_no_use_are_refused_at_once(ours: Authority, other: Authority, how: str, says: str) -> None:
    tls = damaged(ours, other, how)
    with pytest.raises((OSError, ValueError), match=says):
        tls.contents()
    with pytest.raises(Invalid, match=says):
        add(free_port(), tls)
    assert servers.everyone() == []
    with pytest.raises(XrayUnavailable, match=f"TLS: .*{says}"):
        XrayClient(f"127.0.0.1:{free_port()}", "vless-in", tls)


@pytest.mark.parametrize("name", ["ca.pem", "client.pem", "client.key"])
def test_a_server_whose_files_vanish_is_down_until_they_are_back(
    user: User, ours: Authority, proxy: Proxy, name: str
) -> None:
    server = add(proxy.port, ours.tls())
    give(user)
    file = ours.folder / name
    file.rename(ours.folder / "away")
    assert health.watch() == health.Watched(changed=True)
    down = servers.by_name("Main")
    assert down.is_up is False
    assert "No such file" in (down.last_error or "")
    assert name in (down.last_error or "")
    with pytest.raises(XrayUnavailable):
        provisioning.converge(server.id)
    levels = [finding.level for finding in server_checks.check("Main")]
    assert (levels[:2], levels[-1]) == (["ok", "ok"], "failed")
    (ours.folder / "away").rename(file)
    assert health.watch().servers == {server.id}
    provisioning.converge(server.id)
    assert here(server) == {users.email(user.id)}


def test_files_that_vanish_in_the_middle_leave_the_seats_to_be_done(user: User, ours: Authority, proxy: Proxy) -> None:
    """Before `watch` has noticed."""
    server = add(proxy.port, ours.tls())
    give(user)
    (ours.folder / "client.key").rename(ours.folder / "away")
    with pytest.raises(XrayUnavailable, match="No such file"):
        provisioning.converge(server.id)
    (ours.folder / "away").rename(ours.folder / "client.key")
    assert provisioning.converge(server.id).confirmed == 1


def test_a_renewed_certificate_is_shown_without_a_restart(ours: Authority, proxy: Proxy) -> None:
    server = add(proxy.port, ours.tls())
    target, pem = server.target, ours.folder / "client.pem"
    before = channels.channel(target, ours.tls())
    assert channels.channel(target, ours.tls()) is before
    running = provisioning.client(server)
    times = os.stat(pem)
    ours.renew_client()
    os.utime(pem, ns=(times.st_atime_ns, times.st_mtime_ns))  # as `cp --preserve` or a restored backup would
    assert channels.channel(target, ours.tls()) is not before
    assert provisioning.client(server).uptime() >= 0
    assert proxy.clients[-1] == load_pem_x509_certificate(pem.read_bytes()).serial_number != proxy.clients[0]
    assert len(proxy.clients) == 2
    assert running.uptime() >= 0, "who is in the middle of something ends it the old way"
    assert len(proxy.clients) == 2


def test_between_the_two_files_of_a_renewal_the_server_only_waits(ours: Authority, proxy: Proxy) -> None:
    server = add(proxy.port, ours.tls())
    old = (ours.folder / "client.key").read_bytes()
    ours.renew_client()
    new = (ours.folder / "client.key").read_bytes()
    (ours.folder / "client.key").write_bytes(old)
    assert not health.look(server)
    assert "no pair" in (servers.by_name("Main").last_error or "")
    (ours.folder / "client.key").write_bytes(new)
    assert health.look(server)


def test_a_proxy_that_hangs_up_is_called_again(ours: Authority, proxy: Proxy) -> None:
    server = add(proxy.port, ours.tls())
    proxy.hang_up()
    wait_until(lambda: health.look(server), seconds=3, what="the server to answer again")
    assert len(proxy.clients) == 2


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
