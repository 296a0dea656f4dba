"""Errors of Telegram's: what they mean, and what a log may say (the HTTP library puts the bot's token into their text)."""

from __future__ import annotations

import traceback
from pathlib import Path

import requests
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from telebot.apihelper import ApiException, ApiTelegramException

from krotray_core.errors import KrotRayError

_OURS = Path(__file__).parent.parent
_LONGEST = 200
# What the library raises when a call comes to nothing, for whatever reason.
CALL_FAILED = (requests.RequestException, ApiException)


class WrongToken(Exception):
    """Telegram does not know our token; waiting will not help. The text is fit for an operator and holds no token."""

    def __init__(self, code: int) -> None:
        super().__init__(
            f"Telegram does not accept BOT_TOKEN (answer {code}): copy it again from BotFather, "
            "or check TELEGRAM_API_URL if it is set"
        )


def refuses_token(error: ApiTelegramException) -> bool:
    """Whether this answer means that the token is wrong: 401, or 404 for one that Telegram never gave out."""
    return error.error_code in (401, 404)


def describe(error: BaseException) -> str:
    """The kind of an error and where it arose in our code; its own words only where they cannot hold a secret."""
    said = type(error).__name__
    if isinstance(error, ApiTelegramException):
        said += f" {error.error_code} {error.description}"[:_LONGEST]
    elif isinstance(error, KrotRayError):
        said += f" {error}"[:_LONGEST]
    ours = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_ours(frame.filename)]
    return f"{said} ({Path(ours[-1].filename).name}:{ours[-1].lineno})" if ours else said


def telegram_away(error: BaseException | None) -> bool:
    """Whether Telegram itself could not be reached or was not well: the same call may succeed later."""
    if isinstance(error, ApiTelegramException):
        return error.error_code >= 500
    return isinstance(error, CALL_FAILED)


def passes(error: BaseException | None) -> bool:
    """Whether the same update may go better later: Telegram is away or wants a pause, or the database is away."""
    return telegram_away(error) or asked_pause(error) is not None or isinstance(error, OperationalError | PoolTimeout)


def asked_pause(error: BaseException | None) -> float | None:
    """The seconds that Telegram wants us to wait, if that is what it says."""
    return retry_after(error) if isinstance(error, ApiTelegramException) and error.error_code == 429 else None


def retry_after(error: ApiTelegramException) -> float:
    """The seconds that Telegram wants us to wait (with 429)."""
    try:
        return max(float(error.result_json["parameters"]["retry_after"]), 0.5)
    except (KeyError, TypeError, ValueError):
        return 3.0


def _is_ours(filename: str) -> bool:
    path = Path(filename)
    return path.is_relative_to(_OURS) and path.relative_to(_OURS).parts[0].startswith("krotray_")
