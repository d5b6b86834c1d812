"""Modules import only from rooms above their own."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import ROOT

PACKAGE = ROOT / "wsflask"

#: Row of each room; a module belongs to the room with the longest name that fits.
ROWS = {
    "errors": 0,
    "config": 0,
    "assets": 0,
    "deadline": 0,
    "outage": 0,
    "tasks": 0,
    "workers": 0,
    "stopping": 0,
    "gunicorn": 1,
    "protocol": 1,
    "encoding": 1,
    "gather": 1,
    "gate": 1,
    "documents": 1,
    "transport": 2,
    "feed": 2,
    "streams": 2,
    "access": 2,
    "identity": 2,
    "contexts": 2,
    "ledger": 2,
    "connection": 3,
    "hub": 4,
    "service": 5,
    "services": 6,
    "live": 6,
    "dispatch": 6,
    "lobby": 6,
    "roster": 6,
    "session": 6,
    "written": 6,
    "blueprint": 7,
    "health": 7,
    "hooks": 7,
    "life": 7,
    "people": 7,
    "page": 7,
    "reception": 7,
    "renewals": 7,
    "server": 8,
    "cli": 9,
    "embedded": 9,
    "testing": 9,
    "demo": 9,
    "__main__": 9,
}

#: Rooms of one row that may import one another, downwards only: the importer first.
SIBLINGS = {
    ("config", "errors"), ("deadline", "errors"), ("tasks", "outage"), ("protocol", "encoding"), ("streams", "feed"),
    ("people", "renewals"), ("life", "people"), ("life", "health"),
    ("cli", "embedded"), ("cli", "demo"), ("testing", "embedded"), ("__main__", "cli"),
}  # fmt: skip

MODULES = sorted(
    path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py" and "data" not in path.parts
)


def name_of(path: Path) -> str:
    """Return a module's name below `wsflask`; a package's is that of its folder."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {name_of(path) for path in MODULES}


def imports_of(path: Path) -> Iterator[tuple[str, int]]:
    """Yield what a module of ours imports from wsflask at run time, with the line."""
    package = path.relative_to(PACKAGE).parent.parts
    for node in _run_time_nodes(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] == "wsflask":
                    yield alias.name.removeprefix("wsflask").lstrip("."), node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, package)
            if base is not None:
                for alias in node.names:
                    full = ".".join(filter(None, (base, alias.name)))
                    yield full if full in NAMES else base, node.lineno


def _base(node: ast.ImportFrom, package: tuple[str, ...]) -> str | None:
    module = node.module or ""
    if node.level == 0:
        head, _, rest = module.partition(".")
        return rest if head == "wsflask" else None
    above = package[: len(package) - node.level + 1]
    return ".".join((*above, *filter(None, (module,))))


def _run_time_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Walk the tree, but not into `if TYPE_CHECKING:`."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            continue
        yield from _run_time_nodes(child)


def room_of(name: str) -> str:
    """Return the room of a module."""
    return name.partition(".")[0]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_imports_only_from_rows_above(path: Path) -> None:
    name = name_of(path)
    wrong = []
    for imported, line in imports_of(path):
        room, other = room_of(name), room_of(imported)
        if other == room or other == "":
            continue
        allowed = ROWS[other] < ROWS[room] or (room, other) in SIBLINGS
        if not allowed:
            wrong.append(f"line {line}: {name} (row {ROWS[room]}) imports {imported} (row {ROWS[other]})")

    assert not wrong


def test_every_room_has_a_row_and_every_row_a_room() -> None:
    rooms = {room_of(name) for name in NAMES}

    assert rooms - set(ROWS) == set()


def test_no_module_needs_itself() -> None:
    """Inside a room too, imports have no circle."""
    graph = {}
    for path in MODULES:
        name = name_of(path)
        graph[name] = {imported for imported, _ in imports_of(path)} & (NAMES - {name})
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join((*above[above.index(name) :], name))
        if name not in done:
            for imported in sorted(graph[name]):
                visit(imported, (*above, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())


@pytest.mark.parametrize("room", ["services", "live"])
def test_services_do_not_know_sockets_flask_or_one_another(room: str) -> None:
    for path in MODULES:
        name = name_of(path)
        if room_of(name) != room:
            continue
        foreign = {
            node.module or ""
            for node in _run_time_nodes(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom) and node.level == 0
        }
        heads = {module.partition(".")[0] for module in foreign}
        assert not heads & {"flask", "flask_sock", "flask_login", "simple_websocket", "socket"}, name
        others = {room_of(imported) for imported, _ in imports_of(path)}
        assert not others & ({"services", "live", "transport"} - {room}), name


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_has_one_idea(path: Path) -> None:
    """Its docstring says it in one sentence; it has at most 400 lines."""
    text = path.read_text()
    docstring = ast.get_docstring(ast.parse(text)) or ""

    assert docstring, "no docstring"
    assert docstring.splitlines()[0].endswith((".", ":", "`")), docstring.splitlines()[0]
    assert len(text.splitlines()) <= 400


LIBRARY = [path for path in MODULES if room_of(name_of(path)) not in ("cli", "demo", "testing", "__main__")]


@pytest.mark.parametrize("path", LIBRARY, ids=name_of)
def test_the_library_leaves_patching_and_the_environment_alone(path: Path) -> None:
    text = path.read_text()

    assert "patch_all" not in text
    assert "os.environ" not in text
    assert "getenv" not in text


def test_importing_the_library_starts_no_thread() -> None:
    greenlets = "sum(issubclass(type(each), gevent.Greenlet) for each in gc.get_objects())"
    script = f"import threading, gc, gevent; from wsflask import *; print(threading.active_count(), {greenlets})"
    shown = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)

    assert shown.stdout.split() == ["1", "0"]
