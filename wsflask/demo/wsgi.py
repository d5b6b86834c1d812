"""The demo for a WSGI server where wsflask is installed: `gunicorn -k gevent wsflask.demo.wsgi:app`."""

from gevent import monkey

monkey.patch_all()

import os

from wsflask.demo.app import create_app

_NAMES = ("SECRET_KEY", "WSFLASK_MONGODB_URI", "WSFLASK_DEMO_SPEED")

app = create_app({name: os.environ[name] for name in _NAMES if name in os.environ})
