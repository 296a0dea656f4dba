"""The key in the chat: its picture, its buttons, a new one in its place; how to connect, and the invitation."""

from __future__ import annotations

from urllib.parse import unquote

import pytest

from krotray_core import qr
from sandbox.process import wait_until
from tests.bot_kit import BotWorld, Person, button, labels


@pytest.fixture
def owner(talking: BotWorld) -> Person:
    """Somebody with a key that works."""
    person = talking.somebody()
    person.write("/start")
    person.hears("Здравствуйте")
    talking.give(person)
    return person


def codes(message: dict[str, object]) -> list[str]:
    """What a tap copies."""
    text, entities = message["text"], message["entities"]
    return [text[e["offset"] : e["offset"] + e["length"]] for e in entities if e["type"] == "code"]  # type: ignore[index,attr-defined]


class TestTheKey:
    """My key."""

    def test_it_comes_with_a_picture_a_copy_button_and_apps(self, owner: Person) -> None:
        owner.press("Мой ключ")
        shown = owner.hears("Ключ работает до")
        [link, key] = codes(shown)
        assert owner.picture(shown) == qr.png(link)
        assert key.startswith("vless://")
        assert button(shown, "Скопировать ссылку")["copies"] == link
        opens = button(shown, "Добавить в Happ")["opens"]
        assert unquote(opens).endswith(f"/open#happ://add/{link}")
        wait_until(lambda: len(owner.heard()) == 1, seconds=10, what="the menu to make room for it")

        owner.press("‹ Меню")  # a picture cannot become a text: it makes room too
        assert "осталось 30 дней" in owner.hears("Здравствуйте")["text"]
        wait_until(lambda: len(owner.heard()) == 1, seconds=10, what="the picture to make room for it")

    def test_two_quick_taps_show_it_once(self, talking: BotWorld, owner: Person) -> None:
        menu = owner.last()
        before = talking.trouble("sendPhoto", hold=True)
        presses = [owner.press("Мой ключ")]
        wait_until(lambda: talking.calls("sendPhoto") > before, seconds=10, what="the first press to be answered")
        presses.append(owner.press("Мой ключ", menu))
        talking.release()
        for press in presses:
            owner.toast(press)
        wait_until(lambda: talking.look()["pending"] == 0, seconds=10, what="both to be done")
        assert len(owner.heard()) == 1

    def test_without_pictures_the_text_does(self, talking: BotWorld, owner: Person) -> None:
        talking.trouble("sendPhoto", error_code=400, description="Bad Request: IMAGE_PROCESS_FAILED")
        owner.press("Мой ключ")
        shown = owner.hears("Ключ работает до")
        assert shown["photo"] is None
        assert len(codes(shown)) == 2

    def test_a_key_that_does_not_fit_under_a_picture_follows_it(self, bot_world: BotWorld, owner: Person) -> None:
        template = "vless://{uuid}@{host}:443?security=tls&path=" + "x" * 1100 + "#{name}"
        bot_world.change("UPDATE servers SET vless_url_template = %s", template)
        try:
            owner.write("/key")
            shown = owner.hears("Ссылка подписки")
            picture = owner.heard()[-2]
            assert "Ключ работает до" in picture["text"]
            assert owner.picture(picture) == qr.png(codes(shown)[0])
            assert (labels(picture), "‹ Меню" in labels(shown)) == ([], True)
        finally:
            bot_world.change("UPDATE servers SET vless_url_template = NULL")

    def test_a_picture_older_than_two_days_stays_and_its_buttons_work_again(
        self, talking: BotWorld, owner: Person
    ) -> None:
        owner.press("Мой ключ")
        picture = owner.hears("Ключ работает до")
        for times in (1, 2):
            talking.idle()
            talking.trouble("deleteMessage", error_code=400, description="Bad Request: message can't be deleted")
            owner.press("‹ Меню", picture)
            wait_until(lambda menus=times: len(owner.heard()) == 1 + menus, seconds=10, what="another menu")
            assert "Здравствуйте" in owner.last()["text"]


class TestANewKey:
    """Replacing it."""

    def test_it_asks_first_and_then_the_old_one_is_gone(self, talking: BotWorld, owner: Person) -> None:
        owner.press("Мой ключ")
        before = codes(owner.hears("Ключ работает до"))
        owner.press("Новый ключ")
        assert labels(owner.hears("Заменить ключ?")) == ["Да, заменить ключ", "Оставить прежний"]
        owner.press("Оставить прежний")
        assert codes(owner.hears("Ключ работает до")) == before

        owner.press("Новый ключ")
        question = owner.hears("Заменить ключ?")
        owner.press("Да, заменить ключ")
        replaced = "Ключ заменён, прежний больше не работает."  # and then, perhaps already, the notice with the new one
        wait_until(lambda: any(replaced in one["text"] for one in owner.heard()), seconds=15, what="the answer")
        wait_until(lambda: talking.confirmed_seats(owner), seconds=20, what="the new key in Xray")
        after = codes(owner.ask("/key"))
        assert not set(after) & set(before)
        assert talking.rotations(owner) == ["user"]

        [yes] = [b["callback_data"] for b in question["buttons"][0]]
        owner.toast(talking.forge(owner, yes))  # the old question, where it is still to be seen, does nothing more
        wait_until(lambda: talking.look()["pending"] == 0, seconds=10, what="the press to be done")
        assert talking.rotations(owner) == ["user"]
        assert codes(owner.ask("/key")) == after

    def test_handled_twice_it_is_one_new_key(self, talking: BotWorld, owner: Person) -> None:
        owner.write("/key")
        owner.hears("Ключ работает до")
        owner.press("Новый ключ")
        owner.hears("Заменить ключ?")
        talking.idle()
        before = talking.trouble("answerCallbackQuery", hold=True, error_code=500)
        owner.press("Да, заменить ключ")
        wait_until(lambda: talking.calls("answerCallbackQuery") > before, seconds=10, what="the key to be replaced")
        talking.bot.kill()
        talking.release()
        assert len(talking.rotations(owner)) == 1
        talking.polling_bot()
        owner.hears("Ключ заменён")
        assert len(talking.rotations(owner)) == 1

    def test_not_without_end(self, bot_world: BotWorld) -> None:
        bot_world.polling_bot(ROTATE_RATE_LIMIT="1/hour")
        owner = bot_world.somebody()
        owner.write("/start")
        owner.hears("Здравствуйте")
        bot_world.give(owner)
        for again in (False, True):
            owner.ask("/key")
            owner.press("Новый ключ")
            owner.hears("Заменить ключ?")
            pressed = owner.press("Да, заменить ключ")
            if again:
                assert owner.toast(pressed) == "Ключ меняли слишком часто. Прежний работает, попробуйте позже."
            else:
                owner.hears("Ключ заменён")
                bot_world.settles(owner)
        assert len(bot_world.rotations(owner)) == 1

    def test_without_a_key_there_is_nothing_to_replace(self, talking: BotWorld) -> None:
        person = talking.somebody("en")
        person.ask("/start")
        talking.forge(person, "go:rotate")
        assert labels(person.hears("nothing to replace")) == ["Buy or renew", "‹ Menu"]
        for data in (
            "rotate:nonsense",
            "rotate:" + "f" * 50,
            "on:commodore",
            "start:" + "x" * 50,
            ":::",
            "go:",
            "adm:",
        ):
            person.toast(talking.forge(person, data))
        assert "Hello" in person.ask("/start")["text"]


class TestConnecting:
    """Three steps by platform."""

    def test_with_a_key_programs_take_it_at_a_press(self, talking: BotWorld, owner: Person) -> None:
        owner.write("/connect")
        devices = labels(owner.hears("Где нужен VPN?"))
        assert devices == ["Android", "iPhone, iPad", "Windows", "macOS", "Linux", "‹ Меню"]
        for device in devices[:-1]:
            owner.press(device)
            steps = owner.hears(f"{device}: три шага")
            assert button(steps, "Скачать Happ")["opens"].startswith("https://")
            assert "/open#" in button(steps, "Добавить в Happ")["opens"]
            assert button(steps, "Скопировать ссылку")["copies"].startswith(talking.world.web_url)
            owner.press("‹ Другое устройство")
            owner.hears("Где нужен VPN?")

    def test_without_one_it_says_what_comes_first(self, talking: BotWorld) -> None:
        person = talking.somebody("en")
        person.write("/connect")
        person.hears("Where do you need the VPN?")
        person.press("Android")
        assert "Add to Happ" not in labels(person.hears("You have no key yet"))
        person.press("Buy or renew")
        person.hears("For how long")


class TestInviting:
    """A link for friends, and where links into the bot lead."""

    def test_a_friend_who_comes_by_the_link_is_counted(self, talking: BotWorld) -> None:
        host, friend = talking.somebody(), talking.somebody("en")
        host.write("/invite")
        shown = host.hears("пока никто не пришёл")
        link = button(shown, "Скопировать ссылку")["copies"]
        assert link in shown["text"]
        assert link.startswith("https://t.me/krotray_sandbox_bot?start=ref_")
        assert button(shown, "Отправить другу")["opens"].startswith("https://t.me/share/url?url=https%3A%2F%2Ft.me%2F")
        for _ in range(2):
            assert "Hello" in friend.ask(f"/start {link.partition('=')[2]}")["text"]
        assert "По ней пришли: 1 человек." in host.ask("/invite")["text"]

    def test_without_a_database_an_invitation_waits_on_its_button(self, talking: BotWorld) -> None:
        host, friend = talking.somebody(), talking.somebody()
        host.write("/invite")
        payload = button(host.hears("никто не пришёл"), "Скопировать ссылку")["copies"].partition("=")[2]
        talking.polling_bot(DATABASE_URL="postgresql://nobody@127.0.0.1:9/none")
        friend.write(f"/start {payload}")
        friend.hears("Сервис ненадолго недоступен")
        talking.polling_bot()
        friend.press("Попробовать ещё раз")
        friend.hears("Здравствуйте")
        assert "По ней пришли: 1 человек." in host.ask("/invite")["text"]

    @pytest.mark.parametrize(
        ("payload", "leads_to"),
        [
            ("buy", "На сколько"),
            ("key", "Ключа пока нет"),
            ("help", "Не подключается"),
            ("connect", "Где нужен VPN?"),
            ("ref_nobody_has_it", "Здравствуйте"),
            ("promo-2027_x", "Здравствуйте"),
            ("секрет <b>" + "x" * 3000, "Здравствуйте"),
        ],
    )
    def test_links_into_the_bot(self, talking: BotWorld, payload: str, leads_to: str) -> None:
        person = talking.somebody()
        person.write(f"/start {payload}")
        person.hears(leads_to)
        log = talking.bot.log.read_text()
        assert "promo-2027_x" not in log
        assert "секрет" not in log


class TestNotices:
    """Buttons below notices, which are not screens."""

    @pytest.mark.parametrize(
        ("data", "said"),
        [
            ("buy", "На сколько"),
            ("key", "Ключа пока нет"),
            ("connect", "Где нужен"),
            ("help", "Не подкл"),
            ("home", "Здрав"),
        ],
    )
    def test_a_notice_stays_what_it_is(self, talking: BotWorld, data: str, said: str) -> None:
        person = talking.somebody()
        person.write("/start")
        person.hears("Здравствуйте")
        talking.say(person, "Подписка закончится через три дня", {"text": "Продлить", "callback_data": data})
        person.press("Продлить")
        person.hears(said)
        assert [message["text"] for message in person.heard()][1] == "Подписка закончится через три дня"
        assert len(person.heard()) == 3
