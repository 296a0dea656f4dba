"""A person in the sandbox Telegram, and the bot with its world, for the tests of the bot."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

import psycopg2
import requests

from sandbox.process import Process, free_port, listening, wait_until
from sandbox.world import ROOT, World

CLOSED = "http://127.0.0.1:9"
MONTH, MONTH_BY_CARD = "plan:1m:1-30-10000", "pay:1m:1-30-10000:card"
ADMIN = 501


def labels(message: dict[str, Any]) -> list[str]:
    """What the buttons of a message say."""
    return [button["text"] for row in message["buttons"] for button in row]


def button(message: dict[str, Any], label: str) -> dict[str, Any]:
    """One button of a message."""
    return next(b for row in message["buttons"] for b in row if b["text"] == label)


class Person:
    """Somebody in the sandbox Telegram who talks to the bot."""

    def __init__(self, telegram_url: str, user_id: int, language_code: str) -> None:
        self._url, self.id, self._language_code = f"{telegram_url}/sandbox", user_id, language_code

    def write(self, text: str) -> None:
        """Writes to the bot."""
        body = {"user_id": self.id, "text": text, "first_name": "Мария <3", "language_code": self._language_code}
        requests.post(f"{self._url}/message", json=body, timeout=10).raise_for_status()

    def ask(self, text: str) -> dict[str, Any]:
        """Writes to the bot, waits for a new message of its, and returns that."""
        before = [message["message_id"] for message in self.heard()]
        self.write(text)
        wait_until(lambda: self.heard() and self.last()["message_id"] not in before, seconds=15, what="an answer")
        return self.last()

    def press(self, button: str, message: dict[str, Any] | None = None) -> dict[str, Any]:
        """Presses a button: under the latest message that has it, if no other one is given. A notice may come at any moment."""
        if message is None:
            message = next((heard for heard in reversed(self.heard()) if button in labels(heard)), self.last())
        body = {"user_id": self.id, "message_id": message["message_id"], "button": button}
        answer = requests.post(f"{self._url}/press", json=body, timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def block(self, blocked: bool = True) -> None:
        """Blocks the bot, or takes it back."""
        body = {"user_id": self.id, "blocked": blocked}
        requests.post(f"{self._url}/block", json=body, timeout=10).raise_for_status()

    def picture(self, message: dict[str, Any]) -> bytes:
        """What is in the photo of a message."""
        answer = requests.get(self._url.removesuffix("/sandbox") + message["photo"]["url"], timeout=10)
        answer.raise_for_status()
        return answer.content

    def chat(self) -> dict[str, Any]:
        """The conversation."""
        return requests.get(f"{self._url}/chat/{self.id}", timeout=10).json()

    def heard(self) -> list[dict[str, Any]]:
        """What the bot has written."""
        return [message for message in self.chat().get("messages", []) if message["from"] == "bot"]

    def last(self) -> dict[str, Any]:
        """The bot's last message."""
        return self.heard()[-1]

    def hears(self, part: str, *, seconds: float = 15) -> dict[str, Any]:
        """Waits until the bot's last message holds this, and returns it."""
        wait_until(
            lambda: any(part in message["text"] for message in self.heard()[-1:]), seconds=seconds, what=f"«{part}»"
        )
        return self.last()

    def sees(self, part: str, *, seconds: float = 15) -> dict[str, Any]:
        """Waits for a picture of the bot's with these words under it, and returns it; a notice may have come after it."""

        def pictures() -> list[dict[str, Any]]:
            return [message for message in self.heard() if message["photo"] and part in message["text"]]

        wait_until(pictures, seconds=seconds, what=f"a picture with «{part}»")
        return pictures()[-1]

    def toast(self, press: dict[str, Any]) -> str:
        """Waits for the answer to a press, and returns its words."""

        def answers() -> list[dict[str, Any]]:
            query_id = press["callback_query_id"]
            return [p["answer"] for p in self.chat()["presses"] if p["callback_query_id"] == query_id and p["answer"]]

        wait_until(answers, seconds=10, what="an answer to the press")
        return answers()[0]["text"]


class BotWorld:
    """The world with a Telegram in it, a database for this module, a worker, and a bot that may be killed and started again."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.database_url = world.postgres.create("bot")
        self.telegram_port = free_port()
        self.telegram_url = f"http://127.0.0.1:{self.telegram_port}"
        self.env = world.environment("bot") | {"TELEGRAM_API_URL": self.telegram_url}
        self.env["ADMIN_TELEGRAM_IDS"] = str(ADMIN)
        self.env["QUIET_HOURS"] = "0-0"  # what is to be told is told at once, whenever the tests run
        self.start_telegram()
        node = world.nodes[0]
        self._run("flask", "db", "upgrade")
        self._run(
            *("flask", "servers", "add", "--name", node.name, "--host", "127.0.0.1"),
            *("--grpc-port", str(node.grpc_port), "--max-users", "100"),
        )
        self.worker = Process(
            "the worker",
            [*self._tool("celery"), "-A", "krotray_tasks", "worker", "-Q", "money,access,care", "--concurrency", "1"],
            log=world.logs / "worker.log",
            env=self.env,
            cwd=ROOT,
        )
        self.worker.wait_ready(lambda: " ready." in self.worker.said(), seconds=90)
        self._bot: Process | None = None
        self._bot_is_plain = False
        self._bots = 0
        self._people = ADMIN

    def start_telegram(self) -> None:
        """A Telegram that knows nobody yet, at the same address as the one before it."""
        self.telegram = Process(
            "the sandbox Telegram",
            [sys.executable, "-m", "sandbox.telegram", "--port", str(self.telegram_port)],
            log=self.world.logs / "telegram.log",
            env=self.env,
            cwd=ROOT,
        )
        self.telegram.wait_ready(lambda: listening(self.telegram_port))

    @property
    def bot(self) -> Process:
        """The bot that was started last."""
        assert self._bot is not None
        return self._bot

    @property
    def talks(self) -> bool:
        """Whether a bot with the ordinary settings runs."""
        return self._bot is not None and self._bot.running and self._bot_is_plain

    def _tool(self, name: str) -> list[str]:
        return [str(Path(sys.executable).parent / name)]

    def _run(self, name: str, *arguments: str) -> None:
        process = Process(
            name, [*self._tool(name), *arguments], log=self.world.logs / "flask.log", env=self.env, cwd=ROOT
        )
        assert process.wait(60) == 0, process.tail()

    def stop(self) -> None:
        """Ends all of it."""
        for process in (self._bot, self.worker, self.telegram):
            if process:
                process.stop()

    def start_bot(self, **changes: str) -> Process:
        """A new bot process with its own log, some of its settings changed."""
        if self._bot:
            self._bot.stop()
        self._bots += 1
        self._bot_is_plain = not changes
        self._bot = Process(
            "the bot",
            [sys.executable, "-m", "krotray_bot"],
            log=self.world.logs / f"bot-{self._bots}.log",
            env=self.env | changes,
            cwd=ROOT,
        )
        return self._bot

    def polling_bot(self, **changes: str) -> Process:
        """A new bot process, once it waits for updates."""
        bot = self.start_bot(**changes)
        bot.wait_ready(lambda: self.look()["polls"])
        return bot

    def somebody(self, language_code: str = "ru") -> Person:
        """A person who has never been here."""
        self._people += 1
        return Person(self.telegram_url, self._people, language_code)

    def admin(self, language_code: str = "ru") -> Person:
        """The one who runs the service."""
        return Person(self.telegram_url, ADMIN, language_code)

    def flask(self, *arguments: str) -> None:
        """Runs a command of the service."""
        self._run("flask", *arguments)

    def look(self) -> dict[str, Any]:
        """The bot as Telegram sees it."""
        return requests.get(f"{self.telegram_url}/sandbox/bot", timeout=10).json()

    def calls(self, method: str) -> int:
        """How often the bot has called a method."""
        return self.look()["calls"].get(method, 0)

    def idle(self) -> None:
        """Waits until the bot has done and confirmed all that it was told; of an answer that is seen the rest may be to come."""
        wait_until(lambda: self.look()["pending"] == 0, seconds=10, what="the bot to have done everything")

    def trouble(self, method: str, **what: Any) -> int:
        """The next call of this method runs into trouble; returns how many there have been before."""
        before = self.calls(method)
        answer = requests.post(f"{self.telegram_url}/sandbox/trouble", json={"method": method} | what, timeout=10)
        assert answer.status_code == 200, answer.text
        return before

    def release(self) -> None:
        """Ends all trouble."""
        requests.post(f"{self.telegram_url}/sandbox/release", timeout=10).raise_for_status()

    def pay(self, url: str) -> None:
        """The payer pays at this address."""
        payment_id = url.rpartition("/")[2]
        answer = requests.post(f"{self.world.yookassa_url}/sandbox/payments/{payment_id}/pay", timeout=10)
        assert answer.status_code == 200, answer.text

    def ask(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows of the database."""
        with contextlib.closing(psycopg2.connect(self.database_url)) as connection, connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall()

    def change(self, statement: str, *values: object) -> None:
        """Changes the database behind everybody's back."""
        with (
            contextlib.closing(psycopg2.connect(self.database_url)) as connection,
            connection,
            connection.cursor() as c,
        ):
            c.execute(statement, values)

    def give(self, person: Person, days: int = 30) -> None:
        """A present from the admin; returns when Xray holds the key. What the person is told of it is swept out of the chat."""
        heard = {message["message_id"] for message in person.heard()}
        admin = self.admin()
        admin.write(f"/grant {person.id} {days}")
        admin.hears(f"{person.id})?")
        admin.press("Да")
        self.settles(person)
        for message in person.heard():
            if message["message_id"] not in heard:
                told = {"chat_id": person.id, "message_id": message["message_id"]}
                requests.post(f"{self.telegram_url}/bot{self.world.bot_token}/deleteMessage", json=told, timeout=10)

    def settles(self, person: Person) -> None:
        """Waits until Xray holds the key, and nothing is left that this person could be told."""
        wait_until(lambda: self.confirmed_seats(person), seconds=20, what="the key in Xray")
        # Nothing here looks again for what had to wait for the key: it is given up, unless it is on its way (claimed).
        rest = (
            "UPDATE notices SET given_up_at = now() WHERE telegram_id = %s AND sent_at IS NULL AND given_up_at IS NULL"
        )
        idle = " AND next_try_at < clock_timestamp() + interval '1 minute'"
        waits = "SELECT id FROM notices WHERE telegram_id = %s AND sent_at IS NULL AND given_up_at IS NULL"

        def told() -> bool:
            self.change(rest + idle, person.id)
            return not self.ask(waits, person.id)

        wait_until(told, seconds=20, what="what there is to tell")

    def days(self, person: Person) -> list[tuple[int, str]]:
        """The presents that this person got: days, and from whom."""
        statement = (
            "SELECT extract(epoch FROM l.ends_at - l.starts_at)::int / 86400, l.actor FROM ledger l"
            " JOIN users u ON u.id = l.user_id WHERE l.event = 'granted' AND u.telegram_id = %s ORDER BY l.id"
        )
        return [(days, actor) for days, actor in self.ask(statement, person.id)]

    def rotations(self, person: Person) -> list[str]:
        """By whom this person's key was replaced, each time."""
        statement = (
            "SELECT l.actor FROM ledger l JOIN users u ON u.id = l.user_id"
            " WHERE l.event = 'key_rotated' AND u.telegram_id = %s"
        )
        return [actor for (actor,) in self.ask(statement, person.id)]

    def say(self, person: Person, text: str, button: dict[str, Any]) -> None:
        """The bot's account writes something by another way than the bot, as notices do."""
        body = {"chat_id": person.id, "text": text, "reply_markup": {"inline_keyboard": [[button]]}}
        url = f"{self.telegram_url}/bot{self.env['BOT_TOKEN']}/sendMessage"
        requests.post(url, json=body, timeout=10).raise_for_status()

    def forge(self, person: Person, data: str) -> dict[str, Any]:
        """Presses a button that the bot never made."""
        self.say(person, "?", {"text": "?", "callback_data": data})
        return person.press("?")

    def payments(self, person: Person) -> list[str]:
        """The states of this person's payments."""
        rows = self.ask(
            "SELECT p.status FROM payments p JOIN users u ON u.id = p.user_id WHERE u.telegram_id = %s", person.id
        )
        return [status for (status,) in rows]

    def confirmed_seats(self, person: Person) -> int:
        """How many keys of this person an Xray holds."""
        statement = (
            "SELECT s.id FROM seats s JOIN subscriptions b ON b.id = s.subscription_id JOIN users u ON u.id = b.user_id"
            " WHERE u.telegram_id = %s AND s.wanted AND s.generation = s.observed_generation"
        )
        return len(self.ask(statement, person.id))
