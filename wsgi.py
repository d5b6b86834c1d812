"""The demo for a WSGI server in a checkout: `gunicorn -k gevent wsgi:app` or `flask --app wsgi run`."""

from gevent import monkey

monkey.patch_all()

from wsflask.demo.wsgi import app

__all__ = ["app"]
