"""What gunicorn serves (`wsgi:app`) and `flask` commands run in (FLASK_APP=wsgi)."""

import sys

from krotray_api.app import create_app
from krotray_core.errors import SettingsError

try:
    app = create_app()
except SettingsError as error:
    sys.exit(str(error))
