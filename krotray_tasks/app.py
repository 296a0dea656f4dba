"""The Celery application; its settings are in celeryconfig.py at the top of the house."""

from __future__ import annotations

from celery import Celery
from celery.signals import setup_logging

from krotray_core import logs, sentry
from krotray_tasks import alive, closed
from krotray_tasks.base import CoreTask

closed.mend()

celery = Celery(
    "krotray",
    task_cls=CoreTask,
    include=["krotray_tasks.money", "krotray_tasks.access", "krotray_tasks.notices"],
)
celery.config_from_object("celeryconfig")
# Tasks find this application also where nobody named it: in the web process, the bot, the commands.
celery.set_default()
alive.speak_for(celery)


@setup_logging.connect
def _log_as_we_do(**_: object) -> None:
    logs.configure()
    sentry.start()
