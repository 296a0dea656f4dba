"""`flask servers keygen`: a server's config with new keys, and the line that adds it."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import click

from krotray_api.cli.output import json_option, reports_errors
from krotray_core import reality, settings
from krotray_core.errors import Invalid

_PORT = click.IntRange(1, 65_535)


@click.command("keygen")
@click.option("--name", required=True, help="What the server will be called, such as Main.")
@click.option("--address", required=True, help="Where people connect to: a name or an IP address of the server.")
@click.option("--site", required=True, help="The site it passes for: foreign, on TLS 1.3 and HTTP/2, not yours.")
@click.option("--port", type=_PORT, default=443, show_default=True, help="Where people connect to.")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Where we reach its gRPC API; private, never public."
)
@click.option("--grpc-port", type=_PORT, default=8080, show_default=True, help="The port of its gRPC API.")
@click.option("--max-users", type=click.IntRange(1), default=100, show_default=True, help="How many users it takes.")
@click.option("--inbound-tag", help="The tag of its VLESS inbound; XRAY_INBOUND_TAG if not given.")
@click.option("--api-listen", help="The address that its API listens on, if it is not --host (TLS in front of it).")
@click.option("--target", help="Where the site is, if not at its own port 443.")
@click.option("--config", "path", type=click.Path(path_type=Path), help="A new file for the config (0600).")
@json_option
@reports_errors
def command(  # noqa: PLR0917 - click hands over one argument an option
    name: str,
    address: str,
    site: str,
    port: int,
    host: str,
    grpc_port: int,
    max_users: int,
    inbound_tag: str | None,
    api_listen: str | None,
    target: str | None,
    path: Path | None,
    as_json: bool,
) -> None:
    """Make REALITY keys, print the whole Xray config with them and the matching `flask servers add`. Changes nothing here.

    With --config the config goes into that file and the line that adds the server is all that is printed.
    """
    tag = inbound_tag or settings.get().xray_inbound_tag
    plan = reality.check(reality.Plan(address, port, site, api_listen or host, grpc_port, tag, target))
    made = reality.keys()
    config = json.dumps(reality.config(plan, made), indent=2)
    words = (
        *("flask", "servers", "add", "--name", name, "--host", host, "--grpc-port", str(grpc_port)),
        *("--max-users", str(max_users), "--inbound-tag", tag),
        *("--vless-url-template", reality.template(plan, made)),
    )
    line = shlex.join(words)
    if path:
        _write(path, config)
    if as_json:
        click.echo(json.dumps({"config": json.loads(config), "public_key": made.public, "add": line}))
        return
    if not path:
        click.echo(f"{config}\n")
    click.echo(line)


def _write(path: Path, text: str) -> None:
    """A file for its owner's eyes: the private key is in it. Never over one that is there: its links would all go dead."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"{text}\n")
    except OSError as error:
        raise Invalid(f"cannot write {path}: {error.strerror}") from None
