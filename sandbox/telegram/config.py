"""What the sandbox has to be told before it can start."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Config:
    """Settings of one sandbox; it serves exactly one bot."""

    token: str = field(repr=False)
    """What the bot logs in with; its digits before the colon are the bot's own id."""
    mini_app_url: str | None = None
    """The Mini App that this bot's menu button opens; without one the page shows no menu button."""
    framed: bool = False
    """Whether that Mini App can be shown in a frame of the chat page: its address is that of a `front`."""
    messages_per_second: int = 30
    """More than that to all people together is answered with 429; 0: no limit."""
    press_seconds: float = 60.0
    """How long a press waits for its answer. Telegram names no figure; bots have seen anything from ten seconds to minutes."""
    name: str = "KrotRay"
    username: str = "krotray_sandbox_bot"

    @property
    def bot_id(self) -> int:
        """The bot's id, as the token tells it."""
        return int(self.token.partition(":")[0])
