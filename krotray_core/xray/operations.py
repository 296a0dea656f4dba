"""What is asked of an Xray server and what comes back, in our words. Known without gRPC being loaded."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from krotray_core.errors import XrayError, XrayUnavailable

CUTOFF_PREFIX = "krotray-cutoff-"


@dataclass(frozen=True, slots=True)
class Account:
    """What opens the door: a key (None where the account is no VLESS one) and the flow that the client has to use."""

    key: UUID | None
    flow: str = ""

    def opens_like(self, other: Account) -> bool:
        """Whether Xray makes no difference between the two."""
        if self.key is None or other.key is None:
            return False
        return same_key(self.key, other.key) and self.flow == other.flow


@dataclass(frozen=True, slots=True)
class Add:
    """Let this e-mail in with this key."""

    email: str
    uuid: UUID
    flow: str = ""

    @property
    def account(self) -> Account:
        """What the server should hold afterwards."""
        return Account(self.uuid, self.flow)


@dataclass(frozen=True, slots=True)
class Remove:
    """Let this e-mail in no more."""

    email: str


Operation = Add | Remove
Outcome = XrayError | XrayUnavailable | None  # None: done


def same_key(one: UUID, other: UUID) -> bool:
    """Whether Xray takes the two for the same key: it ignores bytes 6 and 7 (it keeps flags of its own there)."""
    return one.bytes[:6] + one.bytes[8:] == other.bytes[:6] + other.bytes[8:]
