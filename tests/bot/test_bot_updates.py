"""Updates of every shape, through the library, our handlers and the database: each is confirmed, none ends the loop."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest
import requests
from telebot import TeleBot, apihelper
from telebot.apihelper import ApiTelegramException

from krotray_bot import pace, presence
from krotray_bot.desk import Desk
from krotray_bot.office import Office
from krotray_bot.polling import LONGEST_PAUSE_SECONDS, TRIES, TRIES_BEFORE_OTHERS, Failures, Poller
from krotray_bot.stop import Stop, Stopped
from krotray_bot.talk import Fate, Screen, Talk, Told
from krotray_core import users
from sandbox.world import World

ANNA = {"id": 7_000_001, "is_bot": False, "first_name": "Анна", "language_code": "ru"}
CHAT = {"id": 7_000_001, "type": "private", "first_name": "Анна"}
GROUP = {"id": -100, "type": "supergroup", "title": "Люди"}


class Silent(Talk):
    """A voice that is only noted."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def send(self, chat_id: int, screen: Screen) -> Told:
        """A message."""
        assert chat_id
        self.said.append(screen.text)
        return Told(Fate.SAID, 2)

    def show(self, chat_id: int, message_id: int, screen: Screen, *, later: bool = True) -> Told:
        """Another face for a message."""
        assert message_id
        assert later
        return self.send(chat_id, screen)

    def replace(self, chat_id: int, message_id: int, screen: Screen, *, later: bool = True) -> Told:
        """A message in place of another."""
        self.show(chat_id, message_id, screen, later=later)
        return Told(Fate.SAID, 2, away=True)

    def answer(self, query_id: str, toast: str | None = None, *, chat_id: int | None = None) -> None:
        """The end of a press."""
        self.said.append(f"{query_id}: {toast} {chat_id}")

    def muted(self, chat_id: int) -> bool:
        """Nobody."""
        assert chat_id
        return False


class Patient(Stop):
    """Pauses that take no time."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []

    def pause(self, seconds: float) -> None:
        """Noted."""
        self.pauses.append(seconds)


Run = Callable[[TeleBot, Failures, list[Any]], list[int]]


@pytest.fixture
def stop() -> Patient:
    """Never told to stop, and never sleeping."""
    return Patient()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, stop: Patient) -> Run:
    """Has the loop take these updates from a Telegram that holds what is not confirmed; returns the offsets asked for."""

    def work(bot: TeleBot, failures: Failures, held: list[Any]) -> list[int]:
        offsets: list[int] = []

        def get_updates(_token: str, *, offset: int, **_: object) -> list[Any]:
            if offsets and offsets[-1] == offset and not any(_number(raw) >= offset for raw in held):
                raise Stopped
            offsets.append(offset)
            if len(offsets) > 50:
                raise Stopped
            return [raw for raw in held if _number(raw) >= offset]

        monkeypatch.setattr(apihelper, "get_updates", get_updates)
        with contextlib.suppress(Stopped):  # the last one, which confirms
            Poller(bot, failures, stop).run()
        return offsets

    return work


def _number(raw: Any) -> int:
    number = raw.get("update_id") if isinstance(raw, dict) else None
    return number if isinstance(number, int) else 0


def message(**changes: Any) -> dict[str, Any]:
    """Anna writes."""
    return {"message_id": 5, "date": 1, "chat": CHAT, "from": ANNA, "text": "привет"} | changes


def press(**changes: Any) -> dict[str, Any]:
    """Anna presses a button."""
    below = {"message_id": 6, "date": 1, "chat": CHAT, "text": "x"}
    return {"id": "1", "from": ANNA, "message": below, "chat_instance": "1", "data": "go:home"} | changes


def member(**changes: Any) -> dict[str, Any]:
    """Anna blocks the bot."""
    new = {"status": "kicked", "user": ANNA, "until_date": 0}
    old = {"status": "member", "user": ANNA}
    return {"chat": CHAT, "from": ANNA, "date": 1, "old_chat_member": old, "new_chat_member": new} | changes


STRANGE: list[dict[str, Any]] = [
    {},
    {"message": None},
    {"message": {}},
    {"message": {"shape": "new"}},
    {"message": message(**{"from": None})},
    {"message": message(text=None)},
    {"message": message(text="/start " + "x" * 1_000_000)},
    {"message": message(text="/start ref_" + "a" * 40)},
    {"message": message(text="/start@krot_bot\nbuy")},
    {"message": message(text="/grant 1 1" + "0" * 5000)},
    {"message": message(text="\x00\ud800/start")},
    {"message": message(**{"from": ANNA | {"first_name": "\x00\ud800" * 100_000, "username": "\x00"}})},
    {"message": message(**{"from": ANNA | {"language_code": "ru" * 100_000}})},
    {"message": message(chat=GROUP, text="/start")},
    {"message": message(text=None, photo=[], caption="x")},
    {"message": message(text=None, dice={"emoji": "🎲", "value": 6})},
    {"callback_query": press(message=None)},
    {"callback_query": press(data=None)},
    {"callback_query": press(data="\x00" * 64)},
    {"callback_query": press(data="pay:\x00:\ud800:card")},
    {"callback_query": press(data="plan:1m")},
    {"callback_query": press(data="check:" + "9" * 60)},
    {"callback_query": press(data="adm:server:1")},
    {"callback_query": press(message={"message_id": 1, "date": 0, "chat": CHAT})},
    {"callback_query": press(message={"message_id": 1, "date": 1, "chat": GROUP})},
    {"my_chat_member": member(chat=GROUP)},
    {"my_chat_member": member(new_chat_member={"status": "a status of tomorrow", "user": ANNA})},
    {"my_chat_member": {}},
    {"inline_query": {"id": "1"}},
    {"an_update_of_tomorrow": {"x": [[[[[]]]]]}},
]


def wired(talk: Talk) -> tuple[TeleBot, Failures]:
    """The library with all our handlers."""
    failures = Failures()
    bot = TeleBot("7:token", threaded=False, exception_handler=failures)
    presence.register(bot)
    Office(talk).register(bot)
    Desk(talk).register(bot)
    return bot, failures


@pytest.mark.usefixtures("fresh")
def test_whatever_comes_the_next_one_is_answered(run: Run, stop: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "SERVED", 1000)
    talk = Silent()
    held: list[Any] = []
    for number, strange in enumerate(STRANGE, 1):
        held += [{"update_id": 2 * number} | strange, {"update_id": 2 * number + 1, "message": message()}]
    offsets = run(*wired(talk), held)
    assert offsets[-1] == held[-1]["update_id"] + 1
    assert sum(said.startswith("Я понимаю только кнопки") for said in talk.said) >= len(STRANGE)
    assert stop.pauses == [], "nothing of it is worth another try"


def test_what_has_no_number_is_skipped(run: Run) -> None:
    heard: list[str] = []
    failures = Failures()
    bot = TeleBot("7:token", threaded=False, exception_handler=failures)
    bot.register_message_handler(lambda one: heard.append(one.text))
    good = {"update_id": 9, "message": message()}
    strange: list[Any] = [None, [], "x", 5, {}, {"update_id": "x"}, {"update_id": None}, {"update_id": True}]
    held: list[Any] = [*strange, good]
    assert run(bot, failures, held)[:2] == [0, 10]
    assert heard == ["привет"]


def test_blocking_and_coming_back_reach_the_table(run: Run, fresh: World) -> None:
    assert fresh
    users.known(ANNA["id"])
    bot, failures = wired(Silent())
    run(bot, failures, [{"update_id": 1, "my_chat_member": member()}])
    assert users.find(ANNA["id"]).unreachable_since is not None
    back = member(new_chat_member={"status": "member", "user": ANNA})
    run(bot, failures, [{"update_id": 1, "my_chat_member": back}])
    assert users.find(ANNA["id"]).unreachable_since is None


@pytest.mark.parametrize("asked", [1, 30, 3600])
def test_an_update_that_fails_is_tried_again_without_pauses_that_others_would_feel(
    run: Run, stop: Patient, asked: int
) -> None:
    tries: list[int] = []
    failures = Failures()
    bot = TeleBot("7:token", threaded=False, exception_handler=failures)

    def answer(one: Any) -> None:
        tries.append(one.message_id)
        if len(tries) < 3:
            raise too_many(asked)

    bot.register_message_handler(answer)
    run(bot, failures, [{"update_id": 1, "message": message()}, {"update_id": 2, "message": message(message_id=6)}])
    assert tries == [5, 5, 5, 6]
    assert stop.pauses == [min(asked, LONGEST_PAUSE_SECONDS)] * 2


@pytest.mark.parametrize(("others", "tried"), [(True, TRIES_BEFORE_OTHERS), (False, TRIES)])
def test_an_update_that_fails_while_telegram_is_there_is_given_up_sooner_when_others_wait(
    run: Run, others: bool, tried: int
) -> None:
    tries = list[int]()
    failures = Failures()
    bot = TeleBot("7:token", threaded=False, exception_handler=failures)

    def answer(one: Any) -> None:
        tries.append(one.message_id)
        if one.message_id == 5:
            raise requests.ConnectionError

    bot.register_message_handler(answer)
    behind = [{"update_id": 2, "message": message(message_id=6)}] if others else []
    run(bot, failures, [{"update_id": 1, "message": message()}, *behind])
    assert tries == [5] * tried + [6] * others


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("update", [{"message": message()}, {"callback_query": press()}], ids=["words", "press"])
def test_a_chat_that_telegram_wants_left_alone_holds_nobody_up(
    run: Run, stop: Patient, monkeypatch: pytest.MonkeyPatch, update: dict[str, Any]
) -> None:
    """Our own words and handlers against a Telegram that answers Anna with 429, again and again."""
    called: list[tuple[str, int]] = []

    def send(_method: str, url: str, *, params: dict[str, Any], **_: object) -> requests.Response:
        chat_id = int(params.get("chat_id", 0))
        called.append((url.rpartition("/")[2], chat_id))
        answer = requests.Response()
        answer.status_code = 429
        refused = {"ok": False, "error_code": 429, "description": "Too Many", "parameters": {"retry_after": 30}}
        good = {"ok": True, "result": message(chat=CHAT | {"id": 8})}
        answer._content = json.dumps(refused if chat_id == CHAT["id"] else good).encode()
        return answer

    monkeypatch.setattr(apihelper, "CUSTOM_REQUEST_SENDER", send)
    monkeypatch.setattr(apihelper, "API_URL", "http://telegram.invalid/bot{0}/{1}")
    talk = Talk(TeleBot("7:token", threaded=False), stop)
    bot, failures = wired(talk)
    boris = message(chat=CHAT | {"id": 8}, **{"from": ANNA | {"id": 8}})
    run(bot, failures, [*({"update_id": n} | update for n in range(1, 9)), {"update_id": 9, "message": boris}])
    spoken = [chat_id for method, chat_id in called if method in ("sendMessage", "editMessageText")]
    assert spoken == [CHAT["id"], 8], "she is mute after the first one"
    assert stop.pauses == []
    assert talk.waits, "and hears it when that is over"


def too_many(seconds: int) -> ApiTelegramException:
    """Telegram's 429."""
    answer = {"error_code": 429, "description": "Too Many Requests", "parameters": {"retry_after": seconds}}
    return ApiTelegramException("sendMessage", None, answer)
