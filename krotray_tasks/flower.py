"""`python -m krotray_tasks.flower`: Flower, never without a login, on loopback unless FLOWER_ADDRESS says otherwise."""

from __future__ import annotations

import os
import sys

from krotray_core import settings
from krotray_core.errors import SettingsError


def main() -> None:
    """Starts Flower, or says why it may not."""
    try:
        login = settings.get().flower_basic_auth
    except SettingsError as error:
        sys.exit(str(error))
    if login is None:
        sys.exit("Flower does not start without a login: set FLOWER_BASIC_AUTH=user:password")
    # Through the environment, where Flower looks for its options, and not where `ps` shows them.
    os.environ["FLOWER_BASIC_AUTH"] = login.get_secret_value()
    os.environ.setdefault("FLOWER_ADDRESS", "127.0.0.1")
    # Its /metrics and /healthcheck ask for no login; nothing of ours reads them, so they stay behind the address above.
    from krotray_tasks import celery  # noqa: PLC0415 - needs the environment set up above

    celery.start(["flower"])


if __name__ == "__main__":
    main()
