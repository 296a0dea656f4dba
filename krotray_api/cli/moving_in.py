"""`flask import`: moving in from the service before this one."""

from __future__ import annotations

import json

import click
from flask.cli import AppGroup

from krotray_api.cli.output import json_option, reports_errors, show
from krotray_core import legacy
from krotray_core.legacy import report as reports
from krotray_tasks import access

group = AppGroup("import", help="Moving in from the service before this one.")

MOST_SHOWN = 200
_LEVELS = {"refused": "не взято", "changed": "взято иначе", "skipped": "пропущено"}


@group.command("legacy")
@click.option(
    "--from",
    "url",
    required=True,
    metavar="URL",
    envvar="LEGACY_DATABASE_URL",
    show_envvar=True,
    help="The old database: postgresql://user:password@host/database or sqlite:////path. It is only read.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and write nothing.")
@click.option(
    "--without-refused",
    is_flag=True,
    help="Go on although active subscriptions with a key are refused: the first audit ends these keys.",
)
@json_option
@click.pass_context
@reports_errors
def legacy_(context: click.Context, *, url: str, dry_run: bool, without_refused: bool, as_json: bool) -> None:
    """Take over the people, keys, servers and payments of the earlier KrotRay; again and again, if need be.

    All or nothing. Exit code 1 when rows were refused or taken otherwise than they were, or when something stops it:
    docs/moving-in.md
    """
    report = legacy.take_over(url, dry_run=dry_run, without_refused=without_refused)
    if as_json:
        click.echo(json.dumps(report.as_dict(), ensure_ascii=False, indent=2))
    else:
        _print(report)
    if report.servers:
        access.follow_up(report.servers)
    for stop in report.stops:
        click.echo(f"Нельзя продолжать: {stop}", err=True)
    if report.needs_a_look:
        context.exit(1)


def _print(report: legacy.Report) -> None:
    show([{"table": table} | dict(_counts(report, table)) for table in reports.TABLES], as_json=False)
    for note in report.notes:
        click.echo(note)
    if report.remarks:
        click.echo()
        rows = [
            {"table": one.table, "id": one.id, "what": _LEVELS[one.level], "reason": one.reason}
            for one in sorted(report.remarks, key=lambda one: reports.LEVELS.index(one.level))
        ]
        show(rows[:MOST_SHOWN], as_json=False)
        hidden = len(rows) - MOST_SHOWN + report.unlisted
        if hidden > 0:
            click.echo(f"... и ещё {hidden}; все строки: --json")
    click.echo()
    if report.stops:
        click.echo("Ничего не записано: сначала исправьте то, что названо ниже")
    elif report.dry_run:
        click.echo(f"Проба: ничего не записано; новых или изменённых строк было бы {report.news}")
    elif report.news:
        click.echo(f"Перенесено: новых или изменённых строк {report.news}")
    else:
        click.echo("Ничего нового: всё уже перенесено")


def _counts(report: legacy.Report, table: str) -> list[tuple[str, int]]:
    return [(outcome, report.counts[table][outcome]) for outcome in reports.OUTCOMES]
