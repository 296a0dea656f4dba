"""Telegram's side of a person: the check of initData. https://core.telegram.org/bots/webapps#validating-data"""

from __future__ import annotations

from datetime import timedelta

import init_data_py
from init_data_py import errors

from krotray_core import clock, settings
from krotray_core.errors import InitDataExpired, InitDataInvalid, InitDataMissing
from krotray_core.users import Person

LIFETIME = timedelta(hours=24)
LONGEST = 8192  # characters; real ones have under 2,000


def verify(init_data: str | None) -> Person:
    """The person whom Telegram vouches for. Raises InitDataMissing, InitDataExpired, InitDataInvalid."""
    if not init_data:
        raise InitDataMissing("open the Mini App from Telegram: the call carries no initData")
    if len(init_data) > LONGEST:
        raise InitDataInvalid("initData is too long")
    token = settings.get().bot_token.get_secret_value()
    try:
        try:
            data = init_data_py.validate_by_hash(init_data, token, expires_in=LIFETIME, now=clock.now())
        except errors.ExpiredError:
            # Only who holds a real, old initData is told to open the app again.
            init_data_py.validate_by_hash(init_data, token, expires_in=None)
            raise InitDataExpired("initData is too old: open the Mini App again") from None
    except (errors.InvalidInitDataError, ValueError, OverflowError):
        raise InitDataInvalid("initData was not signed for this bot") from None
    if data.user is None:
        raise InitDataInvalid("initData names no user")
    return Person(
        telegram_id=data.user.id,
        username=data.user.username,
        first_name=data.user.first_name,
        language_code=data.user.language_code,
    )
