"""What kind of shop it is, as far as that can change while the sandbox runs."""

from __future__ import annotations

from .config import Config
from .store import Store

MODES = ("receipt_required", "recurring_allowed")


class Modes:
    """Switches that start as configured; one that was moved stays so until a reset, over restarts too."""

    def __init__(self, store: Store, config: Config) -> None:
        self._store = store
        self._config = config

    @property
    def receipt_required(self) -> bool:
        """The shop has fiscalization: a payment without a receipt is refused."""
        return self.all()["receipt_required"]

    @property
    def recurring_allowed(self) -> bool:
        """The shop may keep payers' methods and charge them."""
        return self.all()["recurring_allowed"]

    def all(self) -> dict[str, bool]:
        """Every switch."""
        moved = self._store.get("meta", "modes") or {}
        return {name: bool(moved.get(name, getattr(self._config, name))) for name in MODES}

    def switch(self, moved: dict[str, bool]) -> None:
        """Move some switches."""
        with self._store.transaction():
            self._store.put("meta", "modes", self.all() | moved)
