"""The test cards, and the reasons for which a payment fails."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class TestCard:
    """A card that the checkout page knows: what happens when someone pays with it."""

    number: str
    three_d_secure: bool = False
    decline: str | None = None

    __test__ = False  # the name is the provider's own; pytest need not look inside

    @property
    def last4(self) -> str:
        """The part of the number that a payer sees."""
        return self.number[-4:]


PAYS = TestCard("5555555555554444")
PAYS_AFTER_3DS = TestCard("5555555555554477", three_d_secure=True)

TEST_CARDS = {
    card.number: card
    for card in (
        PAYS,
        PAYS_AFTER_3DS,
        TestCard("5555555555554600", decline="insufficient_funds"),
        TestCard("5555555555554543", decline="card_expired"),
        TestCard("5555555555554592", decline="3d_secure_failed"),
        TestCard("5555555555554501", decline="issuer_unavailable"),
    )
}


def expiry(now: datetime) -> tuple[str, str]:
    """Month and year that stand on every test card: always some years ahead."""
    return "12", str(now.year + 3)


# Who stopped the payment, by reason. Whatever is not named here was the payer's bank or the card network.
_PARTIES = {
    "canceled_by_merchant": "merchant",
    "expired_on_capture": "yoo_money",
    "expired_on_confirmation": "yoo_money",
    "fraud_suspected": "yoo_money",
    "internal_timeout": "yoo_money",
    "permission_revoked": "yoo_money",
}

REASONS = (
    "3d_secure_failed",
    "call_issuer",
    "card_expired",
    "expired_on_confirmation",
    "fraud_suspected",
    "general_decline",
    "insufficient_funds",
    "internal_timeout",
    "invalid_csc",
    "issuer_unavailable",
    "payment_method_limit_exceeded",
    "payment_method_restricted",
    "permission_revoked",
)


def party_of(reason: str, otherwise: str = "payment_network") -> str:
    """The `party` that goes with a reason; new reasons of the real API are accepted too."""
    return _PARTIES.get(reason, otherwise)
