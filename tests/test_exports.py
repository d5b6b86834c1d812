"""What `import wsflask` gives is listed, documented and all there is."""

from __future__ import annotations

import wsflask

MAXIMUM = 20


def test_every_exported_name_exists_once_and_has_a_docstring() -> None:
    names = wsflask.__all__

    assert len(names) == len(set(names)) <= MAXIMUM
    for name in names:
        assert getattr(wsflask, name).__doc__ or name.isupper(), name


def test_nothing_public_is_left_out_of_the_list() -> None:
    public = {
        name
        for name, value in vars(wsflask).items()
        if not name.startswith("_") and getattr(value, "__module__", "").startswith("wsflask.")
    }

    assert public <= set(wsflask.__all__)
