"""Celery: when the business is called, and how often it is tried again. `celery -A krotray_tasks worker` starts here."""

import sys

# Flower shows what workers tell and runs nothing: without the tasks its process is smaller by a third.
if "krotray_tasks.flower" not in sys.orig_argv:
    from krotray_tasks.app import celery

    __all__ = ["celery"]
