"""`flask notices`: an owner writes to everybody."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select

from krotray_core import broadcasts, clock, delivery, settings
from krotray_core.db import transaction
from krotray_core.models import Broadcast, Notice
from sandbox.process import Process, wait_until
from sandbox.world import ROOT, World
from tests.bot_kit import Person
from tests.cli.kit import BIGINT, Admin
from tests.conftest import new_user
from tests.notices.kit import Telegram, leases_over, night, texts


@pytest.fixture
def telegram(fresh: World) -> Telegram:
    """The sandbox Telegram."""
    return Telegram(fresh)


@pytest.fixture(autouse=True)
def by_day(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[[tuple[int, int]], None]:
    """It is never night, unless a test says so."""
    assert world
    real = settings.get()

    def quiet(hours: tuple[int, int]) -> None:
        monkeypatch.setattr(settings, "get", lambda: real.model_copy(update={"quiet_hours": hours}))

    quiet((0, 0))
    return quiet


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The words."""
    path = tmp_path / "text.html"
    path.write_text("Новый <b>сервер</b>\n")
    return path


def people(telegram: Telegram, count: int) -> list[Person]:
    """Somebody to write to."""
    return [telegram.user()[0] for _ in range(count)]


def count(table: type[Broadcast | Notice]) -> int:
    """Rows."""
    with transaction() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def test_everybody_is_told(admin: Admin, telegram: Telegram, file: Path) -> None:
    readers = people(telegram, 3)
    assert admin.json("notices", "broadcasts") == []
    assert admin("notices", "broadcasts") == "Рассылок нет\n"
    said = admin("notices", "broadcast", "--text-file", file)
    (row,) = admin.json("notices", "broadcasts")
    assert said == (
        f"Рассылка {row['id']} (all): 3 человека\n"
        f"Рассылка {row['id']} закончена: отправлено 3, не дошло 0, осталось 0\n"
    )
    assert [texts(reader) for reader in readers] == [["Новый сервер"]] * 3
    assert {name: row[name] for name in ("segment", "state", "noted", "sent", "failed", "left", "text")} == {
        "segment": "all",
        "state": "done",
        "noted": 3,
        "sent": 3,
        "failed": 0,
        "left": 0,
        "text": "Новый <b>сервер</b>",
    }
    shown = admin("notices", "broadcasts")
    assert len(shown.splitlines()) == 2
    assert "Новый <b>сервер</b>" in shown
    assert "as broadcast" in admin.fails("notices", "broadcast", "--text-file", file)
    admin("notices", "broadcast", "--text-file", file, "--again")
    assert len(texts(readers[0])) == 2


def test_a_dry_run_tells_nobody(admin: Admin, telegram: Telegram, file: Path) -> None:
    (reader,) = people(telegram, 1)
    said = admin("notices", "broadcast", "--text-file", file, "--dry-run")
    assert said == "Новый <b>сервер</b>\n\nПолучат: 1 человек. Ничего не отправлено.\n"
    said = admin("notices", "broadcast", "--text-file", file, "--segment", "active", "--dry-run")
    assert "Получат: 0 человек." in said
    assert (count(Broadcast), texts(reader)) == (0, [])


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "the text is empty"),
        (b" \n\t", "the text is empty"),
        ("я".encode("cp1251"), "the file is not UTF-8: byte 0"),
        (b"\xef\xbb\xbf", "the text is empty"),
        (b"a\0b", "control characters"),
        (b"<b>x", "<b> is not closed"),
        (b"<h1>x</h1>", "<h1> is not allowed; there are <b>"),
        ("я".encode() * 4097, "too long: 4097 of at most 4096"),
        (b"x" * 300_000, "too long: at most 4096"),
    ],
    ids=range(9),
)
@pytest.mark.parametrize("dry", [True, False])
def test_words_that_will_not_do(admin: Admin, tmp_path: Path, content: bytes, why: str, dry: bool) -> None:
    path = tmp_path / "text"
    path.write_bytes(content)
    assert why in admin.fails("notices", "broadcast", "--text-file", path, *(["--dry-run"] if dry else []))
    assert count(Broadcast) == 0


def test_what_makes_no_sense(admin: Admin, tmp_path: Path, file: Path) -> None:
    admin.misused("notices", "broadcast")
    admin.misused("notices", "broadcast", "--text-file", tmp_path / "nowhere")
    admin.misused("notices", "broadcast", "--text-file", tmp_path)
    admin.misused("notices", "broadcast", "--text-file", file, "--segment", "everybody")
    admin.misused("notices", "broadcast", "--text-file", file, "--resume", 1)
    admin.misused("notices", "broadcast", "--resume", 1, "--segment", "all")
    admin.misused("notices", "broadcast", "--resume", 1, "--dry-run")
    for number in ("x", "0", "-1", BIGINT, ""):
        admin.misused("notices", "broadcast", "--resume", number)
        admin.misused("notices", "stop", "--", number)
    admin.fails("notices", "broadcast", "--resume", BIGINT - 1)
    assert "no broadcast 7" in admin.fails("notices", "stop", 7)
    assert count(Broadcast) == 0


def test_stopped_and_gone_on_with(admin: Admin, telegram: Telegram) -> None:
    readers = people(telegram, 3)
    number = broadcasts.start("текст", "all").id
    broadcasts.step()
    said = admin("notices", "stop", number)
    assert said == f"Рассылка {number} остановлена: отправлено 0, не дошло 0, осталось 3\n"
    assert admin.json("notices", "broadcasts")[0]["state"] == "stopped"
    assert delivery.send_due() == 0
    said = admin("notices", "broadcast", "--resume", number)
    assert said.endswith("закончена: отправлено 3, не дошло 0, осталось 0\n")
    assert [texts(reader) for reader in readers] == [["текст"]] * 3
    assert "has come to its end" in admin.fails("notices", "stop", number)


def test_by_night_it_is_left_to_the_workers(
    admin: Admin, telegram: Telegram, file: Path, by_day: Callable[[tuple[int, int]], None]
) -> None:
    (reader,) = people(telegram, 1)
    hours = night(clock.now())
    by_day(hours)
    said = admin("notices", "broadcast", "--text-file", file)
    assert f"Тихие часы: воркеры продолжат в {hours[1]:02}:00 по Москве. Отправлено 0" in said
    assert texts(reader) == []
    by_day((0, 0))
    delivery.send_due()
    assert len(texts(reader)) == 1


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_cut_short_it_is_gone_on_with_and_nobody_is_told_twice(
    admin: Admin, telegram: Telegram, file: Path, tmp_path: Path, how: signal.Signals
) -> None:
    readers = people(telegram, 4)
    for _ in range(60):
        new_user()  # whom the sandbox Telegram does not know: they fail, and take their time
    flask = str(Path(sys.executable).parent / "flask")
    log = tmp_path / "command.log"
    command = Process(
        "the command",
        [flask, "notices", "broadcast", "--text-file", str(file)],
        log=log,
        env=os.environ | {"QUIET_HOURS": "0-0"},
        cwd=ROOT,
    )
    wait_until(lambda: sum(len(texts(reader)) for reader in readers) >= 2, seconds=30, what="the first to be told")
    command.signal(how)
    assert command.wait(10) == (130 if how is signal.SIGINT else -signal.SIGKILL)
    if how is signal.SIGINT:
        assert "flask notices broadcast --resume" in log.read_text()
        assert "Traceback" not in log.read_text()
    leases_over()
    (row,) = admin.json("notices", "broadcasts")
    assert row["state"] == "running"
    assert row["left"] > 10
    with transaction() as session:
        for notice in session.scalars(select(Notice).where(Notice.sent_at.is_(None))):
            notice.next_try_at = clock.now()
    admin("notices", "broadcast", "--resume", row["id"])
    (row,) = admin.json("notices", "broadcasts")
    assert (row["state"], row["noted"], row["left"]) == ("done", 64, 0)
    told = [len(texts(reader)) for reader in readers]
    assert max(told) == 1
    assert sum(told) >= (4 if how is signal.SIGINT else 3)
