"""What `import wsflask` gives is listed, documented and all there is."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

import wsflask
from tests.harness import ROOT

MAXIMUM = 20


def test_every_exported_name_exists_once_and_has_a_docstring() -> None:
    names = wsflask.__all__

    assert len(names) == len(set(names)) <= MAXIMUM
    for name in names:
        assert getattr(wsflask, name).__doc__ or name.isupper(), name


def test_type_checkers_see_the_same_names_from_the_same_modules() -> None:
    tree = ast.parse((ROOT / "wsflask" / "__init__.py").read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}

    assert seen == wsflask._HOMES
    assert set(seen) == set(wsflask.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Websocketserver'"):
        wsflask.Websocketserver  # noqa: B018 - it is the look that counts


def test_the_settings_of_gunicorn_import_nothing_that_has_to_be_patched_first() -> None:
    """Gunicorn reads them in its first process; a pymongo that was imported there cannot speak TLS in the workers."""
    script = "import sys, wsflask.gunicorn; print({'pymongo', 'flask', 'gevent', 'ssl', 'socket'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)

    assert shown.stdout.strip() == "set()"
