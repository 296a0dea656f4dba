"""`python -m krotray_bot`: logs in, then talks until SIGTERM or SIGINT. Exit code 1 when it cannot run at all."""

from __future__ import annotations

import logging
import sys

from krotray_core import logs, sentry, settings, watchdog
from krotray_core.errors import SettingsError

log = logging.getLogger("krotray_bot")


def main() -> int:
    """Runs the bot; returns the exit code."""
    try:
        settings.get()
        logs.configure()
        sentry.start()
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 1
    # Only now: our Celery application reads the settings when it is imported.
    from krotray_bot import faults, login, presence  # noqa: PLC0415
    from krotray_bot.desk import Desk  # noqa: PLC0415
    from krotray_bot.office import Office  # noqa: PLC0415
    from krotray_bot.polling import Failures, Poller  # noqa: PLC0415
    from krotray_bot.stop import Stop, Stopped  # noqa: PLC0415
    from krotray_bot.talk import Talk  # noqa: PLC0415

    stop = Stop()
    stop.listen()
    failures = Failures()
    bot = login.connect(failures)
    talk = Talk(bot, stop)
    try:
        me = login.log_in(bot, stop)
        presence.register(bot)
        watchdog.start()
        Office(talk).register(bot)
        desk = Desk(talk, me)
        desk.register(bot)  # last: it answers whatever nobody else has taken
        Poller(bot, failures, stop, [talk, desk.bills, desk.checks]).run()
    except faults.WrongToken as error:
        print(error, file=sys.stderr)
        return 1
    except Stopped:
        log.info("stopped before it could start")
    return 0


if __name__ == "__main__":
    sys.exit(main())
