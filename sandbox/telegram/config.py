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
    name: str = "KrotRay"
    username: str = "krotray_sandbox_bot"

    @property
    def bot_id(self) -> int:
        """The bot's id, as the token tells it."""
        return int(self.token.partition(":")[0])
