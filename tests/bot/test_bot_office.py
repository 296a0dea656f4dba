"""What admins can do in the chat, and nobody else."""

from __future__ import annotations

import pytest

from krotray_bot import words
from sandbox.process import wait_until
from tests.bot_kit import BotWorld, Person, labels


@pytest.fixture
def admin(talking: BotWorld) -> Person:
    """The one who runs the service."""
    return talking.admin()


class TestWhoMay:
    """Admins, by their Telegram id."""

    @pytest.mark.parametrize("command", ["/stats", "/server Amsterdam", "/user 501", "/grant 501 3650"])
    def test_for_everybody_else_the_commands_do_not_exist(self, talking: BotWorld, command: str) -> None:
        person = talking.somebody()
        person.write(command)
        person.hears("Я понимаю только кнопки")
        for data in ("adm:stats", "adm:server:1", f"adm:give:{person.id}:30:m1", "adm:close:1"):
            talking.forge(person, data)
            person.hears("Здравствуйте")
        assert talking.days(person) == []

    def test_the_commands_are_shown_to_admins_alone(self, talking: BotWorld, admin: Person) -> None:
        person = talking.somebody()
        for somebody in (admin, person):
            somebody.write("/start")
            somebody.hears("Здравствуйте")
        everybodys, office = list(words.COMMANDS), list(words.OFFICE_COMMANDS)

        def shown(to: Person) -> list[str]:
            return [one["command"] for one in to.chat()["commands"]]

        wait_until(lambda: shown(admin) == everybodys + office, seconds=10, what="the admin's commands")
        assert shown(person) == everybodys


class TestLooking:
    """The business, a server, a person."""

    def test_stats(self, talking: BotWorld, admin: Person) -> None:
        person = talking.somebody()
        person.write("/start")
        person.hears("Здравствуйте")
        talking.give(person)
        shown = admin.ask("/stats")["text"]
        for line in ("Активных подписок:", "Новых людей сегодня:", "Выручка сегодня:", "Выручка за месяц:"):
            assert line in shown
        assert "🟢 Amsterdam ▓" in shown
        admin.press("Серверы")
        admin.hears("Какой показать?")
        assert talking.bot.running

    def test_a_server_is_closed_and_opened_with_a_question_in_between(self, talking: BotWorld, admin: Person) -> None:
        def closed() -> bool:
            return talking.ask("SELECT draining FROM servers") == [(True,)]

        assert "отвечает с" in admin.ask("/server Amsterdam")["text"]
        admin.press("Закрыть для новых")
        admin.hears("Закрыть Amsterdam для новых?")
        admin.press("Нет")
        admin.hears("отвечает с")
        assert not closed()
        admin.press("Закрыть для новых")
        admin.hears("Закрыть Amsterdam для новых?")
        admin.press("Да")
        assert "новых не принимает" in admin.hears("🔒")["text"]
        assert closed()
        admin.press("Открыть для новых")
        admin.hears("Открыть Amsterdam для новых?")
        admin.press("Да")
        admin.hears("отвечает с")
        assert not closed()
        admin.write("/server Atlantis")
        assert labels(admin.hears("Такого сервера нет")) == ["🟢 Amsterdam"]
        talking.forge(admin, "adm:close:999999")
        talking.forge(admin, "adm:server:" + "9" * 40)
        assert "Как идут дела" in admin.ask("/stats")["text"]

    def test_a_person_by_id_and_by_name(self, talking: BotWorld, admin: Person) -> None:
        host, guest = talking.somebody(), talking.somebody("en")
        host.write("/start")
        host.hears("Здравствуйте")
        guest.write("/start")
        guest.hears("Hello")
        talking.change(
            "UPDATE users SET username = 'Guest_1', unreachable_since = now(),"
            " invited_by_id = (SELECT id FROM users WHERE telegram_id = %s) WHERE telegram_id = %s",
            *(host.id, guest.id),
        )
        shown = admin.ask(f"/user {guest.id}")["text"]
        assert "Подписки нет" in shown
        assert f"id {guest.id}" in shown
        assert "Мария <3 @Guest_1" in shown
        assert f"По приглашению: Мария <3 ({host.id})" in shown
        assert "Бот заблокирован с" in shown
        assert f"id {guest.id}" in admin.ask("/user @guest_1")["text"]
        for nobody in ("/user 77", "/user @nobody_here", "/user <b>", "/user " + "9" * 50, "/user @" + "x" * 3000):
            assert "Такого человека бот не знает" in admin.ask(nobody)["text"]
        assert "Напишите id или имя" in admin.ask("/user")["text"]


class TestGiving:
    """Days as a present."""

    def test_it_asks_and_gives_once_however_often_it_is_pressed(self, talking: BotWorld, admin: Person) -> None:
        person = talking.somebody()
        person.write("/start")
        person.hears("Здравствуйте")
        admin.write(f"/grant {person.id} 7")
        question = admin.hears("Подарить 7 дней человеку Мария <3")
        assert talking.days(person) == []
        before = talking.trouble("editMessageText", hold=True)
        presses = [admin.press("Да")]
        wait_until(lambda: talking.calls("editMessageText") > before, seconds=10, what="the first press")
        presses.append(admin.press("Да", question))
        talking.release()
        for press in presses:
            admin.toast(press)
        assert f"id {person.id}" in admin.hears("Подарено: 7 дней.")["text"]
        wait_until(lambda: talking.look()["pending"] == 0, seconds=10, what="both to be done")
        assert talking.days(person) == [(7, f"admin {admin.id}")]

        admin.write(f"/grant {person.id} 7")  # the next present is another one
        admin.hears("Подарить 7 дней")
        admin.press("Да")
        admin.hears("Подарено: 7 дней.")
        assert len(talking.days(person)) == 2
        admin.press("+30 дней")
        admin.hears("Подарить 30 дней")
        admin.press("Нет")
        admin.hears(f"id {person.id}")
        assert len(talking.days(person)) == 2

    def test_killed_after_giving_it_does_not_give_again(self, talking: BotWorld, admin: Person) -> None:
        person, other = talking.somebody(), talking.somebody()
        admin.write(f"/grant {person.id} 30")
        admin.hears("боту ещё не писал")
        before = talking.trouble("answerCallbackQuery", hold=True, error_code=500)
        admin.press("Да")
        wait_until(lambda: talking.calls("answerCallbackQuery") > before, seconds=10, what="the days to be given")
        other.write("/start")  # in the same batch, behind it
        talking.bot.kill()
        talking.release()
        assert len(talking.days(person)) == 1
        talking.polling_bot()
        admin.hears("Подарено: 30 дней.")
        other.hears("Здравствуйте")
        assert talking.days(person) == [(30, f"admin {admin.id}")]
        assert len(other.heard()) == 1

    @pytest.mark.parametrize("said", ["/grant", "/grant 501", "/grant 501 много", "/grant 501 0", "/grant 501 99999"])
    def test_what_makes_no_sense_gives_nothing(self, talking: BotWorld, admin: Person, said: str) -> None:
        answer = "от 1 до 3650 дней" if said in ("/grant 501 0", "/grant 501 99999") else "/grant 123456789 30"
        assert answer in admin.ask(said)["text"]
        assert talking.days(admin) == []
