"""The Celery application; its settings are in celeryconfig.py at the top of the house."""

from __future__ import annotations

import gc

from celery import Celery
from celery.signals import setup_logging, worker_before_create_process

from krotray_core import db, logs, sentry
from krotray_tasks import alive, closed
from krotray_tasks.base import CoreTask

closed.mend()

# The beat names tasks and runs none.
_TASKS = (
    [] if logs.process_name() == "beat" else ["krotray_tasks.money", "krotray_tasks.access", "krotray_tasks.notices"]
)
celery = Celery("krotray", task_cls=CoreTask, include=_TASKS)
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
    import grpc.experimental  # noqa: F401, PLC0415 - these each child would else load for itself

    import krotray_core.xray.client  # noqa: F401, PLC0415

    db.load()
    gc.collect()
    gc.freeze()
