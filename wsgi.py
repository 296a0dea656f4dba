"""What gunicorn serves (`wsgi:app`) and `flask` commands run in (FLASK_APP=wsgi)."""

import gc
import os
import sys

from krotray_api.app import create_app
from krotray_core import db
from krotray_core.errors import SettingsError

try:
    app = create_app()
except SettingsError as error:
    sys.exit(str(error))

if "gunicorn" in os.environ.get("SERVER_SOFTWARE", ""):
    db.load()
# gunicorn forks its workers now: their garbage collections leave out what is there already, so its pages stay shared.
gc.collect()
gc.freeze()
