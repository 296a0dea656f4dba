"""Debian's nginx and stunnel in front of Xray's gRPC API, configured as `deploy/xray` says: who gets through, and who does not."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import update

from krotray_core import health, provisioning, server_checks, servers, users
from krotray_core.db import transaction
from krotray_core.errors import XrayUnavailable
from krotray_core.models import Server, User
from krotray_core.xray.client import DEADLINE_SECONDS, XrayClient
from krotray_core.xray.operations import Add, Remove
from krotray_core.xray.tls import Tls
from sandbox.parts import XrayNode
from sandbox.process import Process, free_port, listening, wait_until
from sandbox.world import ROOT, World
from tests.conftest import revive
from tests.seats_kit import give, here
from tests.system.conftest import installed
from tests.tls_kit import Authority, filled

NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{settings}
}}
"""
RIGHT, NO_CERTIFICATE, STRANGER, IMPOSTOR, PLAIN = "right", "no certificate", "a stranger", "an impostor", "plain text"
WHY_NOT = {  # nginx says it; a stunnel only closes the connection
    NO_CERTIFICATE: "nginx: a client certificate is required",
    STRANGER: "nginx: this client certificate is not accepted",
    IMPOSTOR: "CERTIFICATE_VERIFY_FAILED",
    PLAIN: "HTTP status 400",
}
Door = tuple[int, Tls | None]  # where to knock, and how


class Nginx:
    """nginx in front of a node. It wants a certificate of our CA, and shows one."""

    def __init__(
        self, node: XrayNode, folder: Path, *, certificates: Path | None = None, defaults: bool = False
    ) -> None:
        """`defaults`: without our limits, with those that nginx comes with."""
        self.ours, self.other = Authority(folder / "ours"), Authority(folder / "other")
        self.port = free_port()
        settings = filled(
            "nginx-grpc.conf",
            LISTEN=f"127.0.0.1:{self.port}",
            API=f"127.0.0.1:{node.grpc_port}",
            CERTS=certificates or self.ours.folder,
        )
        if defaults:
            settings = re.sub(r"^ *(keepalive|http2_max)_.*\n", "", settings, flags=re.MULTILINE)
            assert "1000000000" not in settings
        configuration = folder / "nginx.conf"
        configuration.write_text(NGINX.format(folder=folder, settings=settings))
        program = installed("nginx", "nginx-light")
        self._process = Process(
            "nginx", [program, "-c", str(configuration), "-p", str(folder)], log=folder / "nginx.log"
        )
        self._process.wait_ready(lambda: listening(self.port))

    def door(self, who: str) -> Door:
        """How somebody calls."""
        ways = {
            RIGHT: self.ours.tls(),
            NO_CERTIFICATE: Tls(self.ours.ca),
            STRANGER: self.ours.tls(client=self.other),
            IMPOSTOR: self.other.tls(client=self.ours),
            PLAIN: None,
        }
        return self.port, ways[who]

    def stop(self) -> None:
        """Ends it."""
        self._process.stop()


class Stunnel:
    """One stunnel next to the node and one next to us, which we call in plain text."""

    def __init__(self, node: XrayNode, folder: Path) -> None:
        self.ours, self.other = Authority(folder / "ours"), Authority(folder / "other")
        self.port, self._folder = free_port(), folder
        settings = filled(
            "stunnel.conf",
            LISTEN=f"127.0.0.1:{self.port}",
            API=f"127.0.0.1:{node.grpc_port}",
            CERTS=self.ours.folder,
        )
        self._processes = [self._start("server", settings, self.port)]

    def _start(self, name: str, settings: str, port: int) -> Process:
        configuration = self._folder / f"stunnel-{name}.conf"
        configuration.write_text(f"pid =\n{settings}")
        process = Process(
            f"stunnel {name}",
            [installed("stunnel4", "stunnel4"), str(configuration)],
            log=self._folder / f"stunnel-{name}.log",
        )
        process.wait_ready(lambda: listening(port))
        return process

    def door(self, who: str, *, address: str = "127.0.0.1") -> Door:
        """How somebody calls who wants to see a certificate for `address`."""
        if who == PLAIN:
            return self.port, None
        local = free_port()
        settings = filled(
            "stunnel-client.conf",
            LOCAL=f"127.0.0.1:{local}",
            SERVER=f"127.0.0.1:{self.port}",
            CERTS=self.other.folder if who == STRANGER else self.ours.folder,
            CHECK=f"checkIP = {address}",
        )
        if who == NO_CERTIFICATE:
            settings = re.sub(r"^(cert|key) = .*\n", "", settings, flags=re.MULTILINE)
        trusted = self.other if who == IMPOSTOR else self.ours
        settings = re.sub(r"^CAfile = .*", f"CAfile = {trusted.ca}", settings, flags=re.MULTILINE)
        self._processes.append(self._start("client", settings, local))
        return local, None

    def stop(self) -> None:
        """Ends both."""
        for process in self._processes:
            process.stop()


@pytest.fixture(params=[Nginx, Stunnel])
def proxy(request: pytest.FixtureRequest, fresh: World, tmp_path: Path) -> Iterator[Nginx | Stunnel]:
    """A proxy in front of the first Xray."""
    made = request.param(fresh.nodes[0], tmp_path)
    yield made
    made.stop()


def add(node: XrayNode, door: Door) -> Server:
    """The node, as a server behind a proxy."""
    port, tls = door
    return servers.add(
        name=node.name,
        host="127.0.0.1",
        grpc_port=port,
        max_users=1000,
        inbound_tag=None,
        vless_url_template=node.vless_url_template,
        tls=tls,
    )


def connections(port: int) -> set[str]:
    """The connections to a port of loopback that stand, by their own ends."""
    tables = "".join(
        Path(f"/proc/net/{name}").read_text() for name in ("tcp", "tcp6")
    )  # gRPC's sockets are of both kinds
    rows = [line.split() for line in tables.splitlines()]
    return {row[1] for row in rows if row[2].endswith(f"0100007F:{port:04X}") and row[3] == "01"}


def test_all_that_the_service_does_goes_through(fresh: World, user: User, proxy: Nginx | Stunnel) -> None:
    node = fresh.nodes[0]
    server = add(node, proxy.door(RIGHT))
    assert (server.is_up, server.last_error) == (True, None)
    give(user)
    assert provisioning.converge(server.id).confirmed == 1
    assert here(server) == {users.email(user.id)}
    health.audit(server.id)  # other tests have left their users there
    assert health.audit(server.id).clean
    assert {finding.level for finding in server_checks.check(server.name)} == {"ok"}

    xray = provisioning.client(server)
    crowd = {f"crowd_{number}": uuid4() for number in range(300)}
    assert xray.apply([Add(email, key) for email, key in crowd.items()]) == [None] * 300
    assert crowd.keys() <= xray.users().keys()
    assert xray.cut_off(f"{email}@{'x' * 200}" for email in crowd for _ in range(20)), "over a megabyte"
    assert xray.cut_off([])
    assert xray.apply([Remove(email) for email in crowd]) == [None] * 300

    with transaction() as session:  # it has been up for a while
        session.execute(update(Server).values(started_at=Server.started_at - timedelta(minutes=5)))
    node.crash()
    try:
        assert health.watch() == health.Watched(changed=True)
        down = servers.by_name(server.name)
        assert down.is_up is False
        assert (down.last_error or "").startswith("UNAVAILABLE: ")
    finally:
        revive(node)
    wait_until(lambda: server.id in health.watch().servers, seconds=5, what="the server to be back")
    assert here(server) == set()
    provisioning.converge(server.id)
    assert here(server) == {users.email(user.id)}


def test_a_restart_between_two_looks_is_seen(fresh: World, user: User, proxy: Nginx | Stunnel) -> None:
    """The proxy holds connections to Xray of its own, and those are dead."""
    node = fresh.nodes[0]
    server = add(node, proxy.door(RIGHT))
    give(user)
    provisioning.converge(server.id)
    with transaction() as session:
        session.execute(update(Server).values(started_at=Server.started_at - timedelta(minutes=5)))
    node.crash()
    revive(node)
    wait_until(lambda: server.id in health.watch().servers, seconds=5, what="the restart to be seen")
    provisioning.converge(server.id)
    assert here(server) == {users.email(user.id)}


def test_thousands_of_calls_over_one_connection(proxy: Nginx | Stunnel) -> None:
    port, tls = proxy.door(RIGHT)
    xray = XrayClient(f"127.0.0.1:{port}", "vless-in", tls)
    assert xray.uptime() >= 0
    before = connections(port)
    assert len(before) == 1
    come_and_go(xray)
    assert connections(port) == before, "nobody has hung up"


def test_nobody_is_lost_where_nginx_hangs_up_every_thousand_calls(fresh: World, tmp_path: Path) -> None:
    """With its own limits nginx says goodbye (GOAWAY) and names the last call it took; gRPC sends the others again."""
    proxy = Nginx(fresh.nodes[0], tmp_path, defaults=True)
    try:
        port, tls = proxy.door(RIGHT)
        xray = XrayClient(f"127.0.0.1:{port}", "vless-in", tls)
        assert xray.uptime() >= 0
        before = connections(port)
        come_and_go(xray)
        assert connections(port) != before, "it did hang up"
    finally:
        proxy.stop()


def come_and_go(xray: XrayClient) -> None:
    """2,400 calls."""
    crowd = [f"crowd_{number}" for number in range(1200)]
    assert xray.apply([Add(email, uuid4()) for email in crowd]) == [None] * len(crowd)
    assert set(crowd) <= xray.users().keys()
    assert xray.apply([Remove(email) for email in crowd]) == [None] * len(crowd)
    assert not set(crowd) & xray.users().keys()


@pytest.mark.parametrize("who", [NO_CERTIFICATE, STRANGER, IMPOSTOR, PLAIN])
def test_nobody_else_gets_through(fresh: World, user: User, proxy: Nginx | Stunnel, who: str) -> None:
    node = fresh.nodes[0]
    door = proxy.door(who)
    began = time.monotonic()
    server = add(node, door)
    assert time.monotonic() - began < DEADLINE_SECONDS + 1
    assert server.is_up is False
    assert (WHY_NOT[who] if isinstance(proxy, Nginx) else "UNAVAILABLE: ") in (server.last_error or "")
    give(user)
    with pytest.raises(XrayUnavailable):
        provisioning.converge(server.id)
    outcomes = provisioning.client(server).apply([Add(users.email(user.id), uuid4())])
    assert [type(outcome) for outcome in outcomes] == [XrayUnavailable]
    assert servers.by_name(server.name).active_users == 0
    assert users.email(user.id) not in XrayClient(f"127.0.0.1:{node.grpc_port}", "vless-in").users()
    assert time.monotonic() - began < 2 * DEADLINE_SECONDS + 2


def test_a_stunnel_for_another_address_is_not_taken_for_ours(fresh: World, tmp_path: Path) -> None:
    proxy = Stunnel(fresh.nodes[0], tmp_path)
    try:
        assert add(fresh.nodes[0], proxy.door(RIGHT, address="127.0.0.2")).is_up is False
    finally:
        proxy.stop()


def test_a_stunnel_alone_is_not_enough_and_says_so(fresh: World, tmp_path: Path) -> None:
    """Debian's stunnel does not negotiate HTTP/2 (ALPN), without which gRPC takes no TLS: hence the second stunnel."""
    proxy = Stunnel(fresh.nodes[0], tmp_path)
    try:
        server = add(fresh.nodes[0], (proxy.port, proxy.ours.tls()))
        assert server.is_up is False
        assert "ALPN" in (server.last_error or "")
    finally:
        proxy.stop()


def test_the_certificates_made_by_the_documented_commands_are_good(fresh: World, tmp_path: Path) -> None:
    installed("openssl", "openssl")
    text = (ROOT / "docs" / "xray-tls.md").read_text()
    (commands,) = [block for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) if "openssl req" in block]
    commands, count = re.subn(r"^(SERVER)=.*", r"\1=IP:127.0.0.1", commands, flags=re.MULTILINE)
    assert count == 1
    made = tmp_path / "made"
    made.mkdir()
    answer = subprocess.run(  # noqa: S603 - our own commands
        ["/bin/sh", "-ec", commands], cwd=made, capture_output=True, text=True, timeout=60, check=False
    )
    assert answer.returncode == 0, answer.stderr
    keys = [path for path in made.iterdir() if path.suffix == ".key"]
    assert {path.stat().st_mode & 0o077 for path in keys} == {0}, "keys are for their owner"
    proxy = Nginx(fresh.nodes[0], tmp_path, certificates=made)
    try:
        tls = Tls(str(made / "ca.pem"), str(made / "client.pem"), str(made / "client.key"))
        assert add(fresh.nodes[0], (proxy.port, tls)).is_up
        with contextlib.suppress(XrayUnavailable):
            XrayClient(f"127.0.0.1:{proxy.port}", "vless-in", Tls(str(made / "ca.pem"))).uptime()
            pytest.fail("nobody should get in without a certificate")
    finally:
        proxy.stop()
