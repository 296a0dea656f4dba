"""`flask servers`: the fleet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from flask.cli import AppGroup

from krotray_api.cli.output import json_option, reports_errors, show, show_one
from krotray_core import health, moving, provisioning, server_checks, servers
from krotray_core.models import Server
from krotray_core.xray.tls import Tls
from krotray_tasks import access

group = AppGroup("servers", help="The Xray servers.")
name_argument = click.argument("name")


def _row(server: Server) -> dict[str, Any]:
    return {
        "name": server.name,
        "host": server.host,
        "grpc_port": server.grpc_port,
        "inbound_tag": server.inbound_tag,
        "active_users": server.active_users,
        "max_users": server.max_users,
        "enabled": server.enabled,
        "draining": server.draining,
        "evacuating_since": server.evacuating_since,
        "up": server.is_up,
        "since": server.state_since,
        "checked_at": server.checked_at,
        "last_error": server.last_error,
    }


_WAY = (
    click.option("--host", help="Where it is: a name or an address."),
    click.option("--grpc-port", type=click.IntRange(1, 65_535), help="The port of its gRPC API."),
    click.option("--max-users", type=click.IntRange(1), help="How many users it takes."),
    click.option("--inbound-tag", help="The tag of its VLESS inbound; XRAY_INBOUND_TAG if never given."),
    click.option("--vless-url-template", help="How its links look, with {uuid}; VLESS_URL_TEMPLATE if never given."),
    click.option(
        "--tls-ca", type=click.Path(), help="PEM file: whom to trust in front of its gRPC API; plain text without."
    ),
    click.option("--tls-cert", type=click.Path(), help="PEM file: our certificate, for mutual TLS."),
    click.option("--tls-key", type=click.Path(), help="PEM file: its key."),
)


def _way_options(command: Callable[..., None]) -> Callable[..., None]:
    """What `add` and `change` take alike."""
    for option in reversed(_WAY):
        command = option(command)
    return command


def _tls(tls_ca: str | None, tls_cert: str | None, tls_key: str | None) -> Tls | None:
    if (tls_cert or tls_key) and not tls_ca:
        raise click.UsageError("--tls-cert and --tls-key go with --tls-ca")
    if bool(tls_cert) != bool(tls_key):
        raise click.UsageError("--tls-cert and --tls-key go together")
    if not tls_ca:
        return None
    return Tls(*(name and str(Path(name).absolute()) for name in (tls_ca, tls_cert, tls_key)))


@group.command("add")
@click.option("--name", help="What it is called, such as Main.")
@_way_options
@click.option("--from-env", is_flag=True, help="Take the first server from the XRAY_* settings.")
@reports_errors
def add(  # noqa: PLR0917 - click hands over one argument an option
    name: str | None,
    host: str | None,
    grpc_port: int | None,
    max_users: int | None,
    inbound_tag: str | None,
    vless_url_template: str | None,
    tls_ca: str | None,
    tls_cert: str | None,
    tls_key: str | None,
    from_env: bool,
) -> None:
    """Add a server; whoever paid and waits for a place gets one at once."""
    if from_env:
        if name or host or grpc_port or max_users or inbound_tag or vless_url_template or tls_ca or tls_cert or tls_key:
            raise click.UsageError("--from-env takes everything from the settings")
        server, new = servers.add_first()
    else:
        if not (name and host and grpc_port and max_users):
            raise click.UsageError("needed: --name, --host, --grpc-port and --max-users (or --from-env)")
        tls = _tls(tls_ca, tls_cert, tls_key)
        new = True
        server = servers.add(
            name=name,
            host=host,
            grpc_port=grpc_port,
            max_users=max_users,
            inbound_tag=inbound_tag,
            vless_url_template=vless_url_template,
            tls=tls,
        )
    said = "Добавлен сервер" if new else "Сервер уже есть, ничего не изменено"
    click.echo(f"{said}: {server.name} {server.target} (max_users={server.max_users})")
    if not server.is_up:
        click.echo(f"Сервер не отвечает, новых пользователей он пока не получит: {server.last_error}", err=True)
    access.seat_waiting()


@group.command("change")
@name_argument
@_way_options
@click.option("--plain", is_flag=True, help="No TLS any more.")
@reports_errors
def change(name: str, *, plain: bool, **given: Any) -> None:
    """Change where a server is, how it is reached or how much it takes; everybody on it is sent there again."""
    tls = _tls(*(given.pop(option) for option in ("tls_ca", "tls_cert", "tls_key")))
    if plain and tls:
        raise click.UsageError("--plain takes no certificates")
    if not (plain or tls or any(value is not None for value in given.values())):
        raise click.UsageError("nothing to change was given")
    server = servers.change(name, servers.Change(**given, tls=tls), plain=plain)
    click.echo(f"Сервер изменён: {server.name} {server.target} (max_users={server.max_users})")
    if not server.is_up:
        click.echo(f"Сервер не отвечает, новых пользователей он пока не получит: {server.last_error}", err=True)
    access.follow_up([server.id])


@group.command("list")
@json_option
@reports_errors
def list_(as_json: bool) -> None:
    """All servers with their load and health."""
    rows = [_row(server) for server in servers.everyone()]
    columns = (
        "name",
        "host",
        "grpc_port",
        "active_users",
        "max_users",
        "enabled",
        "draining",
        "up",
        "since",
        "last_error",
    )
    show(rows, as_json=as_json, columns=columns, empty="Серверов нет: flask servers add")


@group.command("enable")
@name_argument
@reports_errors
def enable(name: str) -> None:
    """Open a server to new users."""
    servers.switch(name, enabled=True)
    click.echo(f"Сервер включён: {name}")
    access.seat_waiting()


@group.command("disable")
@name_argument
@reports_errors
def disable(name: str) -> None:
    """Close a server to new users; those who are on it stay."""
    server = servers.switch(name, enabled=False)
    click.echo(f"Сервер выключен: {name}; на нём остаётся пользователей: {server.active_users}")


@group.command("drain")
@name_argument
@click.option("--off", is_flag=True, help="Open it to new users again, and stop an evacuation.")
@reports_errors
def drain(name: str, off: bool) -> None:
    """Let nobody new onto a server; those who are on it stay."""
    server = moving.drain(name, on=not off)
    said = "Сервер снова принимает новых" if off else "Сервер больше не принимает новых"
    click.echo(f"{said}: {name}; на нём пользователей: {server.active_users}")
    access.seat_waiting()


@group.command("evacuate")
@name_argument
@click.option("--undo", is_flag=True, help="Open it again and move back whom this evacuation has moved away.")
@reports_errors
def evacuate(name: str, undo: bool) -> None:
    """Move everybody on a server to others with room. What is left when there is no more room, workers move later."""
    if undo:
        moved = moving.undo(name)
        access.converge_all(moved.servers)
        click.echo(f"Сервер снова открыт: {name}; вернулись: {moved.people}" + _stayed(moved.left))
        return
    server = moving.evacuate(name)
    total = moving.on_server(server.id)
    while True:
        moved = moving.step()
        access.converge_all(moved.servers)
        left = moving.on_server(server.id)
        click.echo(f"{name}: перенесено {total - left} из {total}")
        if not left or not moved.people:
            break
    if left:
        click.echo(
            f"На других серверах больше нет места; остались: {left}. Воркеры перенесут их, когда оно появится", err=True
        )


def _stayed(left: int) -> str:
    return f"; остались на новых местах: {left}" if left else ""


@group.command("online")
@name_argument
@json_option
@reports_errors
def online(name: str, as_json: bool) -> None:
    """Who is connected to a server now, and from which addresses."""
    found = provisioning.client(servers.by_name(name)).online()
    rows = [{"email": email, "devices": len(ips), "addresses": ", ".join(ips)} for email, ips in sorted(found.items())]
    show(rows, as_json=as_json, empty="Никто не подключён")


@group.command("remove")
@name_argument
@click.option("--lost", is_flag=True, help="It is down for good and cannot confirm that the last ones are gone.")
@reports_errors
def remove(name: str, *, lost: bool) -> None:
    """Forget a server that nobody is on."""
    servers.remove(name, lost=lost)
    click.echo(f"Сервер удалён: {name}")


@group.command("check")
@click.argument("name", required=False)
@json_option
@click.pass_context
@reports_errors
def check(context: click.Context, name: str | None, as_json: bool) -> None:
    """Look at one server, or at all: count, API, inbound, cut-off. Exit code 1 when something failed."""
    names = [name] if name else [server.name for server in servers.everyone()]
    rows = [
        {"server": one, "level": finding.level, "finding": finding.text}
        for one in names
        for finding in server_checks.check(one)
    ]
    show(rows, as_json=as_json, empty="Серверов нет: flask servers add")
    if any(row["level"] == "failed" for row in rows):
        context.exit(1)


@group.command("audit")
@name_argument
@json_option
@reports_errors
def audit(name: str, as_json: bool) -> None:
    """Compare what the server really holds with our seats, and set it right."""
    server = servers.by_name(name)
    found = health.audit(server.id)
    if not found.clean:
        access.converge.enqueue(server.id)
    row = {"server": name, "missing": found.missing, "wrong_key": found.wrong_key, "left_over": found.left_over}
    shown = row if as_json else {key: len(value) if isinstance(value, list) else value for key, value in row.items()}
    show_one(shown, as_json=as_json)
