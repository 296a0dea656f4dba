"""What the sandbox has to be told before it can start."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Config:
    """Settings of one sandbox; it serves exactly one shop."""

    shop_id: str
    secret_key: str = field(repr=False)
    public_url: str
    """The address under which a payer's browser reaches this process, without a slash at the end."""
    webhook_url: str | None = None
    """Where notifications go; without one nothing is sent, as with a real shop that has set none."""
    state_file: Path | str | None = None
    """An SQLite file that outlives the process; without one everything is kept in memory."""
    shop_name: str | None = None
    """The name that the payer reads on the checkout page."""
    receipt_required: bool = False
    """Behave like a shop with fiscalization: a payment without a receipt is refused."""
    recurring_allowed: bool = False
    """Behave like a shop that may save payers' methods and charge them; a new shop may not."""
    webhook_timeout: float = 10.0
    """Seconds that the receiver of a notification has for its answer."""
    first_retry_pause: float = 0.5
    """Seconds before a notification is sent for the second time; every further pause is twice as long."""
    longest_retry_pause: float = 30.0
