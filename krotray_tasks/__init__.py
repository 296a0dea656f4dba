"""Celery: when the business is called, and how often it is tried again. `celery -A krotray_tasks worker` starts here."""

from krotray_core import logs

# Flower shows what workers tell and runs nothing: without the tasks its process is smaller by a third.
if logs.process_name() != "flower":
    from krotray_tasks.app import celery

    __all__ = ["celery"]
