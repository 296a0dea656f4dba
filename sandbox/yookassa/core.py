"""The parts of the sandbox, put together."""

from __future__ import annotations

import threading
from collections import Counter

from .armed import Faults
from .clock import Clock
from .config import Config
from .courier import Courier
from .idempotency import Idempotency
from .modes import Modes
from .outbox import Outbox
from .payer import Payer
from .payments import Payments
from .refunds import Refunds
from .saved import SavedMethods
from .store import Store


class RequestCounter:
    """How often each operation of the API was asked for, whatever it answered."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def add(self, operation: str) -> None:
        """Count one request."""
        with self._lock:
            self._counts[operation] += 1

    def snapshot(self) -> dict[str, int]:
        """The counts so far."""
        with self._lock:
            return dict(self._counts)

    def clear(self) -> None:
        """Start again at zero."""
        with self._lock:
            self._counts.clear()


class Sandbox:
    """One shop's YooKassa. The Flask app is only its doors."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.store = Store(config.state_file)
        self.clock = Clock(self.store)
        self.faults = Faults()
        self.modes = Modes(self.store, config)
        self.outbox = Outbox(self.store, self.clock, config, self.faults)
        self.payments = Payments(self.store, self.clock, config, self.outbox)
        self.refunds = Refunds(self.store, self.clock, self.payments, self.outbox, self.faults)
        self.saved = SavedMethods(self.store, self.payments, self.faults)
        self.payer = Payer(self.store, self.clock, self.payments)
        self.idempotency = Idempotency(self.store, self.clock)
        self.requests = RequestCounter()
        self.courier = Courier(
            self.store, self.clock, self.outbox, self.payments.expire_due, timeout=config.webhook_timeout
        )
        self.courier.start()

    def advance(self, seconds: float) -> None:
        """Move the clock and wake the thread that waits for it; a request sees the new time's state in any case."""
        with self.store.transaction():
            self.clock.advance(seconds)
            self.store.changed.notify_all()

    def clear_faults(self, fault_id: int | None = None) -> int:
        """Disarm one fault or all, and send what they held back; how many there were."""
        with self.store.transaction():
            cleared = self.faults.clear(fault_id)
            self.outbox.release(cleared)
            return len(cleared)

    def reset(self) -> None:
        """Be as new: nothing paid, nothing sent, nothing broken, the real time."""
        with self.store.transaction():
            self.faults.abandon()
            self.store.clear()
            self.clock.reload()
            self.requests.clear()
            self.store.changed.notify_all()

    def close(self) -> None:
        """Stop the background thread, cut off who still hangs, and let go of the state file."""
        self.faults.abandon()
        self.courier.stop()
        self.store.close()
