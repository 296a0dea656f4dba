"""What the tests of the sandbox Telegram share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import requests
from telebot import TeleBot
from telebot.apihelper import ApiTelegramException

from sandbox.telegram.core import CAST

TOKEN = "123456789:made_up_for_these_tests"
MINI_APP = "http://127.0.0.1:9/app/"
ANNA, OLEG, EMMA = (one[0] for one in CAST)


@dataclass
class Phone:
    """Somebody's Telegram, through the control API."""

    url: str

    def post(self, path: str, *, expect: int = 200, **body: Any) -> dict[str, Any]:
        """A request to the control API."""
        answer = requests.post(f"{self.url}/sandbox{path}", json=body, timeout=10)
        assert answer.status_code == expect, answer.text
        return answer.json()

    def get(self, path: str) -> dict[str, Any]:
        """A look into the control API."""
        return requests.get(f"{self.url}/sandbox{path}", timeout=10).json()

    def write(self, text: str = "/start", user_id: int = ANNA) -> int:
        """A message to the bot; the id of its update."""
        return self.post("/message", user_id=user_id, text=text)["update_id"]

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A call of the bot by hand: the whole answer, as it is on the wire."""
        return requests.post(f"{self.url}/bot{TOKEN}/{method}", json=parameters, timeout=10).json()


def poll(bot: TeleBot, offset: int | None = None, seconds: int = 1) -> list[Any]:
    """One call of getUpdates."""
    return bot.get_updates(offset=offset, long_polling_timeout=seconds, allowed_updates=["message", "callback_query"])


def refused(call: Any, *arguments: Any, **options: Any) -> str:
    """How a call is refused."""
    with pytest.raises(ApiTelegramException) as caught:
        call(*arguments, **options)
    return f"{caught.value.error_code} {caught.value.description}"
