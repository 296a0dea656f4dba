"""The Celery application; its settings are in celeryconfig.py at the top of the house."""

from __future__ import annotations

import gc

from celery import Celery
from celery.signals import setup_logging, worker_before_create_process

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


@worker_before_create_process.connect
def _share_memory(**_: object) -> None:
    """What is there before the fork is shared, and left out of the children's garbage collections, which would copy all of it."""
    import krotray_core.xray.client  # noqa: F401, PLC0415 - which each child would else load for itself

    gc.collect()
    gc.freeze()
