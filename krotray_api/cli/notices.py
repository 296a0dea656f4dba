"""`flask notices`: messages of the owner's to many people."""

from __future__ import annotations

import signal
import sys
import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from flask.cli import AppGroup

from krotray_api.cli.output import json_option, reports_errors, show
from krotray_core import broadcasts, clock, delivery, quiet, settings, speech, telegram_html
from krotray_core.broadcasts import Progress, Segment
from krotray_core.errors import Invalid

group = AppGroup("notices", help="What people are told in Telegram.")

# More than any text that Telegram takes.
LONGEST_FILE = 256 * 1024
LOOK_SECONDS = 1.0
broadcast_id_argument = click.argument("broadcast_id", type=click.IntRange(1, 2**63 - 1))


@group.command("broadcast")
@click.option(
    "--text-file",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=f"UTF-8, at most 4096 characters. {telegram_html.ALLOWED}",
)
@click.option("--segment", type=click.Choice(broadcasts.SEGMENTS), help="Whom to tell; all, if not given.")
@click.option("--dry-run", is_flag=True, help="Say whom it would go to, and check the text; send nothing.")
@click.option("--again", is_flag=True, help="Send a text that the same people got less than a day ago.")
@click.option("--resume", type=click.IntRange(1, 2**63 - 1), metavar="ID", help="Go on with this broadcast.")
@click.pass_context
@reports_errors
def broadcast(
    context: click.Context,
    *,
    file: Path | None,
    segment: Segment | None,
    dry_run: bool,
    again: bool,
    resume: int | None,
) -> None:
    """Send a text to everybody who can be reached, each of them once.

    Ctrl-C only ends the watching: workers go on by themselves, and --resume ID watches (or goes on) again.
    """
    if (file is None) == (resume is None):
        raise click.UsageError("either --text-file or --resume is needed")
    if file is None:
        if segment or dry_run or again:
            raise click.UsageError("--resume goes with nothing else")
        _watch(context, broadcasts.resume(resume or 0))
        return
    text = _text(file)
    if dry_run:
        click.echo(
            f"{broadcasts.check(text)}\n\nПолучат: {_people(broadcasts.size(segment or 'all'))}. Ничего не отправлено."
        )
        return
    _watch(context, broadcasts.progress(broadcasts.start(text, segment or "all", again=again).id))


@group.command("broadcasts")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@json_option
@reports_errors
def broadcasts_(limit: int, as_json: bool) -> None:
    """The latest broadcasts, newest first, and how far each has come."""
    columns = ("id", "created_at", "segment", "state", "noted", "sent", "failed", "left", "text")
    rows = [_row(one, whole=as_json) for one in broadcasts.latest(limit)]
    show(rows, as_json=as_json, columns=columns, empty="Рассылок нет")


@group.command("stop")
@broadcast_id_argument
@reports_errors
def stop(broadcast_id: int) -> None:
    """Stop a broadcast: nobody gets it any more, until --resume."""
    seen = broadcasts.stop(broadcast_id)
    click.echo(f"Рассылка {broadcast_id} остановлена: {_said(seen)}")


def _text(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            read = opened.read(LONGEST_FILE + 1)
    except OSError as error:
        raise Invalid(f"the file cannot be read: {error.strerror}") from None
    if len(read) > LONGEST_FILE:
        raise Invalid("the text is too long: at most 4096 characters")
    try:
        return read.decode()
    except UnicodeDecodeError as error:
        raise Invalid(f"the file is not UTF-8: byte {error.start}") from None


def _watch(context: click.Context, seen: Progress) -> None:
    """Shows the progress, and sends as well where no worker does, until it is through or stopped."""
    number = seen.broadcast.id
    click.echo(f"Рассылка {number} ({seen.broadcast.segment}): {_people(seen.people)}")
    interrupted = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: interrupted.set())  # the message that is on its way arrives first
    try:
        seen = _until_done(seen, interrupted)
    finally:
        signal.signal(signal.SIGINT, before)
    morning = _morning()
    if interrupted.is_set():
        click.echo(
            f"Воркеры продолжат сами. Смотреть дальше: flask notices broadcast --resume {number};"
            f" остановить: flask notices stop {number}",
            err=True,
        )
        context.exit(130)
    elif seen.state == "running" and morning:
        click.echo(f"Тихие часы: воркеры продолжат в {morning:%H:%M} по Москве. {_said(seen).capitalize()}")
    else:
        click.echo(f"Рассылка {number} {'остановлена' if seen.state == 'stopped' else 'закончена'}: {_said(seen)}")


def _until_done(seen: Progress, interrupted: threading.Event) -> Progress:
    with click.progressbar(length=seen.people, file=sys.stderr, show_pos=True) as bar:
        while True:
            bar.update(max(seen.sent + seen.failed - bar.pos, 0))
            if seen.state != "running" or interrupted.is_set() or _morning():
                return seen
            if not delivery.send_due(LOOK_SECONDS):
                interrupted.wait(LOOK_SECONDS)
            seen = broadcasts.progress(seen.broadcast.id)


def _morning() -> datetime | None:
    """When the quiet hours end, in Moscow's time, if it is quiet now."""
    morning = quiet.until(clock.now(), settings.get().quiet_hours)
    return morning.astimezone(speech.MOSCOW) if morning else None


def _people(number: int) -> str:
    return f"{number} {speech.plural_ru(number, 'человек', 'человека', 'человек')}"


def _said(seen: Progress) -> str:
    return f"отправлено {seen.sent}, не дошло {seen.failed}, осталось {seen.left}"


def _row(seen: Progress, *, whole: bool) -> dict[str, Any]:
    body = seen.broadcast.body
    return {
        "id": seen.broadcast.id,
        "created_at": seen.broadcast.created_at,
        "segment": seen.broadcast.segment,
        "state": seen.state,
        "noted": seen.noted,
        "sent": seen.sent,
        "failed": seen.failed,
        "left": seen.left,
        "text": body if whole else " ".join(body.split())[:40],
    }
