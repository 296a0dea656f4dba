"""Celery: when the business is called, and how often it is tried again. `celery -A krotray_tasks worker` starts here."""

from krotray_tasks.app import celery

__all__ = ["celery"]
