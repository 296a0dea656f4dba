"""What a person is told when something went wrong: what happened to the money, and what to do next."""

from __future__ import annotations

import logging

from sqlalchemy.exc import SQLAlchemyError

from krotray_bot import faults
from krotray_bot.words import Words
from krotray_core.errors import GatewayError, GatewayUnavailable, NotFound

log = logging.getLogger(__name__)


def apology(error: Exception, words: Words, *, buying: bool) -> str:
    """The words for an error, which is noted in the log.

    `buying` is for a press that was to lead to an address to pay at: nobody was given one, so no money can have gone.
    """
    match error:
        case NotFound():
            return words.no_payment
        case GatewayUnavailable():
            log.warning("no address to pay at: %s", error)
            return words.gateway_away
        case GatewayError():
            log.error("no address to pay at: %s", error)
            return words.gateway_refused
        case SQLAlchemyError():
            log.error("no database: %s", faults.describe(error))  # its own text may hold what was to be stored
            return words.away_buying if buying else words.away
        case _:
            log.error("a handler failed: %s", faults.describe(error))
            return words.broken
