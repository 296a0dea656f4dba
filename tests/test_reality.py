"""The link that the settings recommend, REALITY with a flow, through a real server and a real client."""

from __future__ import annotations

import base64
import datetime
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.x509.oid import NameOID

from krotray_core import cabinet, health, provisioning, servers, subscriptions
from krotray_core.models import User
from sandbox.parts import XrayNode, vpn
from sandbox.process import free_port
from sandbox.world import World
from tests import pages

SITE = "example.com"
SHORT_ID = "ab"
FLOW = "xtls-rprx-vision"


def certificate(folder: Path) -> ssl.SSLContext:
    """TLS 1.3 with a self-signed certificate for SITE: the site behind which a REALITY server hides."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, SITE)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(SITE)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "site.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(pem)
    return context


def text(key: bytes) -> str:
    """A key as Xray writes it."""
    return base64.urlsafe_b64encode(key).decode().rstrip("=")


@pytest.mark.parametrize("flow", ["", FLOW])
def test_the_link_with_and_without_a_flow_opens_a_page(fresh: World, user: User, tmp_path: Path, flow: str) -> None:
    assert fresh
    private = X25519PrivateKey.generate()
    with pages.serving(certificate(tmp_path)) as site, pages.serving() as page:
        settings = {
            "target": f"127.0.0.1:{site}",
            "serverNames": [SITE],
            "privateKey": text(private.private_bytes_raw()),
            "shortIds": [SHORT_ID],
        }
        node = XrayNode("Reality", tmp_path, grpc_port=free_port(), vless_port=free_port(), reality=settings)
        try:
            public = text(private.public_key().public_bytes_raw())
            server = servers.add(
                name="Reality",
                host="127.0.0.1",
                grpc_port=node.grpc_port,
                max_users=5,
                inbound_tag=None,
                vless_url_template=f"vless://{{uuid}}@{{host}}:{node.vless_port}?encryption=none&type=tcp&security=reality"
                f"&sni={SITE}&fp=chrome&pbk={public}&sid={SHORT_ID}&flow={flow}#{{name}}",
            )
            subscriptions.grant(user.telegram_id, 30)
            provisioning.converge(server.id)
            link = cabinet.of_user(user.id).vless_url
            assert link
            with vpn(link, tmp_path) as client:
                assert client.fetch(f"http://127.0.0.1:{page}/") == pages.TEXT
            assert health.audit(server.id).clean
        finally:
            node.stop()
