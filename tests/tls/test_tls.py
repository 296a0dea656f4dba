"""TLS on the way to Xray: who gets through, and files that are wrong, vanish or are renewed."""

from __future__ import annotations

import os
import time
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.x509 import load_pem_x509_certificate

from krotray_core import health, provisioning, server_checks, servers, users
from krotray_core.errors import Invalid, XrayUnavailable
from krotray_core.models import User
from krotray_core.xray import channels
from krotray_core.xray.client import DEADLINE_SECONDS, XrayClient
from krotray_core.xray.operations import Add, Remove
from krotray_core.xray.tls import Tls
from sandbox.process import free_port, wait_until
from sandbox.world import World
from tests import tls_kit
from tests.seats_kit import give, here
from tests.tls_kit import Authority, Proxy, add


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
