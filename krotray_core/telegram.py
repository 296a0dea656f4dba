"""Telegram's side of a person: the check of initData. https://core.telegram.org/bots/webapps#validating-data"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache

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
    signed_at, person = _signed(init_data, settings.get().bot_token.get_secret_value())
    # Only who holds a real, old initData is told to open the app again.
    if clock.now() > signed_at + LIFETIME:
        raise InitDataExpired("initData is too old: open the Mini App again")
    return person


@lru_cache(maxsize=256)  # the Mini App sends the same with each of its calls; what was not rightly signed is not kept
def _signed(init_data: str, token: str) -> tuple[datetime, Person]:
    """When Telegram signed this, and for whom. Raises InitDataInvalid."""
    try:
        data = init_data_py.validate_by_hash(init_data, token, expires_in=None)
        signed_at = data.issued_at
        signed_at + LIFETIME  # a moment at the end of time has no day after
    except (errors.InvalidInitDataError, ValueError, OverflowError):
        raise InitDataInvalid("initData was not signed for this bot") from None
    if data.user is None:
        raise InitDataInvalid("initData names no user")
    return signed_at, Person(
        telegram_id=data.user.id,
        username=data.user.username,
        first_name=data.user.first_name,
        language_code=data.user.language_code,
    )
