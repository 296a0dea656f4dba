"""Real clients get through with what GET /sub/<token> gives, in every form."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from uuid import UUID

import yaml
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from krotray_core import cabinet, provisioning, servers
from krotray_core.formats import vless
from krotray_core.formats.vless import Node
from krotray_core.models import Server, User
from sandbox.parts import XrayNode, vpn
from sandbox.process import free_port
from sandbox.world import World
from tests import format_schemas, pages
from tests.conftest import converge_all
from tests.sub_kit import granted
from tests.test_reality import FLOW, SHORT_ID, SITE, certificate, text


def from_clash(answer: TestResponse) -> Node:
    """What Mihomo would understand."""
    (proxy,) = format_schemas.clash(yaml.safe_load(answer.text)).proxies
    reality = proxy.reality_opts
    return Node(
        UUID(proxy.uuid),
        proxy.server,
        proxy.port,
        transport=proxy.network,
        security="reality" if reality else "tls" if proxy.tls else "",
        flow=proxy.flow or "",
        sni=proxy.servername or "",
        fingerprint=proxy.client_fingerprint or "",
        public_key=reality.public_key if reality else "",
        short_id=reality.short_id if reality else "",
    )


def from_sing_box(answer: TestResponse) -> Node:
    """What sing-box would understand."""
    outbounds = format_schemas.sing_box(json.loads(answer.text)).outbounds
    (outbound,) = [one for one in outbounds if isinstance(one, format_schemas.VlessOutbound)]
    tls = outbound.tls
    reality = tls.reality if tls else None
    return Node(
        UUID(outbound.uuid),
        outbound.server,
        outbound.server_port,
        security="reality" if reality else "tls" if tls else "",
        flow=outbound.flow or "",
        sni=(tls.server_name if tls else None) or "",
        fingerprint=tls.utls.fingerprint if tls and tls.utls else "",
        public_key=reality.public_key if reality else "",
        short_id=reality.short_id if reality else "",
    )


def links_of(client: FlaskClient, path: str) -> dict[str, str]:
    """A link for a real client out of each form."""
    return {
        "base64": base64.b64decode(client.get(path).data).decode(),
        "clash": vless.emit(from_clash(client.get(f"{path}?format=clash"))),
        "sing-box": vless.emit(from_sing_box(client.get(f"{path}?format=sing-box"))),
    }


def test_a_real_client_gets_through_with_every_form(
    client: FlaskClient, fleet: list[Server], user: User, page: str, tmp_path: Path
) -> None:
    assert fleet
    path = granted(user)
    converge_all()
    made = links_of(client, path)
    assert client.get(f"{path}?format=links").text == made["base64"]
    for form_, link in made.items():
        with vpn(link, tmp_path) as program:
            assert program.fetch(page) == pages.TEXT, form_


def test_a_real_client_gets_through_reality_with_every_form(
    client: FlaskClient, fresh: World, user: User, tmp_path: Path
) -> None:
    assert fresh
    private = X25519PrivateKey.generate()
    with pages.serving(certificate(tmp_path)) as site, pages.serving() as page:
        hidden = {
            "target": f"127.0.0.1:{site}",
            "serverNames": [SITE],
            "privateKey": text(private.private_bytes_raw()),
            "shortIds": [SHORT_ID],
        }
        node = XrayNode("Reality", tmp_path, grpc_port=free_port(), vless_port=free_port(), reality=hidden)
        try:
            public = text(private.public_key().public_bytes_raw())
            server = servers.add(
                name="Норка 🐀 #1",
                host="127.0.0.1",
                grpc_port=node.grpc_port,
                max_users=5,
                inbound_tag=None,
                vless_url_template=f"vless://{{uuid}}@{{host}}:{node.vless_port}?encryption=none&type=tcp&security=reality"
                f"&sni={SITE}&fp=chrome&pbk={public}&sid={SHORT_ID}&spx=/&flow={FLOW}#{{name}}",
            )
            path = granted(user)
            provisioning.converge(server.id)
            made = links_of(client, path)
            assert made["base64"] == cabinet.of_user(user.id).vless_url
            for form_, link in made.items():
                with vpn(link, tmp_path) as program:
                    assert program.fetch(f"http://127.0.0.1:{page}/") == pages.TEXT, form_
            (proxy,) = format_schemas.clash(yaml.safe_load(client.get(f"{path}?format=clash").text)).proxies
            assert proxy.name == "Норка 🐀 #1"
        finally:
            node.stop()
