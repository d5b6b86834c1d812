"""The pages: sign in, the board, a flight with its forms."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, abort, current_app, flash, redirect, render_template, request, url_for
from flask_login import current_user, login_required, login_user, logout_user
from werkzeug.wrappers import Response

from .board import Filter
from .day import airlines, plans
from .forms import FORMS, FlightForm, FormError
from .models import ACTIVE, ORIGINS, STATUSES, Clock, Flight, User, utc
from .seeding import USERS
from .timeline import state_at

__all__ = ["desk"]

desk = Blueprint("desk", __name__)

#: Rows of the board that come with the page; the rest comes over the socket.
_ROWS = 60
_SPEEDS = (0, 0.5, 1, 5, 20)


@desk.get("/login")
def login() -> Response | str:
    """Show the form to sign in."""
    if current_user.is_authenticated:
        return redirect(url_for("desk.board"))
    return _login_page()


@desk.post("/login")
def sign_in() -> Response | str | tuple[str, int]:
    """Sign in, or say why not."""
    username, password = request.form.get("username", "").strip(), request.form.get("password", "")
    if not username or not password:
        return _login_page("Enter a name and a password.", username), 422
    user = User.objects(username=username).first()
    if user is None or not user.has_password(password):
        return _login_page("That name and password do not match.", username), 422
    if not login_user(user):
        return _login_page("This user may not sign in any more.", username), 422
    return redirect(_own_path(request.args.get("next", "")), 303)


@desk.post("/logout")
@login_required
def logout() -> Response:
    """Sign out: the session ends in every tab and worker."""
    logout_user()
    return redirect(url_for("desk.login"), 303)


@desk.get("/")
@login_required
def board() -> str:
    """Show the departures that the filter lets through."""
    chosen = Filter.from_args(request.args, current_user)
    found = Flight.objects(**chosen.query()).order_by("estimated", "id")
    return render_template(
        "wsflask/demo/board.html",
        chosen=chosen,
        flights=list(found.limit(_ROWS)),
        total=found.count(),
        origins=ORIGINS,
        airlines=airlines(),
        statuses=STATUSES,
        clock=_clock(),
        speeds=_SPEEDS,
    )


@desk.get("/flights/<flight_id>")
@login_required
def flight(flight_id: str) -> str:
    """Show one flight with its forms."""
    return _flight_page(_visible_flight(flight_id))


@desk.post("/flights/<flight_id>/<name>")
@login_required
def change(flight_id: str, name: str) -> Response | tuple[str, int]:
    """Save one field of a flight, or say what is wrong with the value."""
    form, shown = FORMS.get(name), _visible_flight(flight_id)
    if form is None or (form.supervisor_only and not current_user.is_supervisor):
        abort(404)
    text = request.form.get("value", "")
    try:
        if form.before_departure and shown.status not in ACTIVE:
            raise FormError("The flight has left or is cancelled.")
        _set(shown, form, form.read(text))
    except FormError as problem:
        return _flight_page(shown, problems={name: str(problem)}, values={name: text}), 422
    shown.save()
    flash(form.done)
    return redirect(url_for("desk.flight", flight_id=flight_id), 303)


@desk.post("/flights/<flight_id>/delete")
@login_required
def delete(flight_id: str) -> Response:
    """Take a flight off the board until the day begins again; only the supervisor may."""
    shown = _visible_flight(flight_id)
    if not current_user.is_supervisor:
        abort(404)
    shown.delete()
    flash(f"{shown.flight} is off the board until the day begins again.")
    return redirect(url_for("desk.board"), 303)


@desk.post("/replay")
@login_required
def set_speed() -> Response:
    """Set the speed of the replay; only the supervisor may."""
    if not current_user.is_supervisor:
        abort(404)
    chosen = {f"{speed:g}": speed for speed in _SPEEDS}.get(request.form.get("speed", ""))
    clock = _clock()
    if chosen is None or clock is None:
        abort(400)
    clock.speed = float(chosen)
    clock.save()
    return redirect(url_for("desk.board"), 303)


def _set(shown: Flight, form: FlightForm, value: Any) -> None:
    setattr(shown, form.field, value)
    if form.field != "held":
        return
    clock, plan = _clock(), next((plan for plan in plans() if plan.id == shown.id), None)
    now = utc(clock.now) if clock else None
    if plan is not None and now is not None:
        state = state_at(plan, now, value)
        shown.status, shown.delay, shown.estimated = state.status, state.delay, state.estimated


def _visible_flight(flight_id: str) -> Flight:
    """Return the flight; what one may not see does not exist."""
    found: Flight | None = Flight.objects(id=flight_id).first()
    if found is None or not current_user.may_see(found):
        abort(404)
    return found


def _flight_page(shown: Flight, problems: dict[str, str] | None = None, values: dict[str, str] | None = None) -> str:
    return render_template(
        "wsflask/demo/flight.html",
        flight=shown,
        airline=airlines().get(shown.carrier, shown.carrier),
        origins=ORIGINS,
        is_open=shown.status in ACTIVE,
        problems=problems or {},
        values=values or {},
        clock=_clock(),
    )


def _login_page(problem: str = "", username: str = "") -> str:
    users = [{"username": row[0], "name": row[1], "airline": row[2]} for row in USERS]
    return render_template("wsflask/demo/login.html", problem=problem, username=username, users=users)


def _own_path(path: str) -> str:
    """Return the path if it leads to this application, else the board: nobody is sent elsewhere after signing in."""
    is_own = path.startswith("/") and not path.startswith("//") and "\\" not in path
    return path if is_own and path.isprintable() else url_for("desk.board")


def _clock() -> Clock | None:
    clock: Clock | None = Clock.objects(id="clock").first()
    if clock is None:
        current_app.logger.warning("the demo's database is empty: call wsflask.demo.seed()")
    return clock
