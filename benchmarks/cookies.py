"""Session cookies of signed-in users, for servers whose SECRET_KEY is the benchmarks' own."""

from flask import Flask
from flask.sessions import SecureCookieSessionInterface

SECRET_KEY = "benchmark"


def session_cookies(count: int) -> list[str]:
    """Make the Cookie headers of user0 to user<count-1>, as Flask-Login leaves them after a fresh login."""
    app = Flask(__name__)
    app.secret_key = SECRET_KEY
    signer = SecureCookieSessionInterface().get_signing_serializer(app)
    assert signer is not None
    return [f"session={signer.dumps({'_user_id': f'user{n}', '_fresh': True})}" for n in range(count)]
