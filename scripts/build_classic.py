"""Write `static/wsflask.classic.js`: the modules of the client in one classic script, for pages without modules.

    python scripts/build_classic.py

The modules are concatenated in the order of their imports, inside one function; their exports become
`window.wsflask`. Nothing else changes, so the modules keep to what this needs: named imports and exports without
`as`, and no name declared at the top of two modules. The script stops when they do not.
"""

from __future__ import annotations

import re
from pathlib import Path

STATIC = Path(__file__).resolve().parent.parent / "static"
TARGET = STATIC / "wsflask.classic.js"

_HEADER = """\
/* Generated from wsflask.js by scripts/build_classic.py: change the modules, not this file. */

(function () {
"use strict";

"""
_IMPORT = re.compile(r'^import \{([^}]*)\} from "(\./[^"]+)";\n', re.MULTILINE)
_REEXPORT = re.compile(r'^export \{([^}]*)\} from "(\./[^"]+)";\n', re.MULTILINE)
_DECLARATION = re.compile(r"^(?:export )?(?:async )?(?:const|let|class|function) (\w+)", re.MULTILINE)
#: A classic script knows its address while it runs; the modules lie in the folder beside it.
_ADDRESS = ("import.meta.url", 'new URL("wsflask/", document.currentScript.src).href')


def classic() -> str:
    """Return the text of the classic script."""
    entry = (STATIC / "wsflask.js").read_text(encoding="utf-8")
    order: list[Path] = []
    exported: list[str] = []
    for names, path in _REEXPORT.findall(entry):
        exported += _names(names)
        _collect((STATIC / path).resolve(), order)
    declared: dict[str, Path] = {}
    parts = [_HEADER]
    for module in order:
        source = module.read_text(encoding="utf-8")
        for name in _DECLARATION.findall(source):
            if name in declared:
                raise SystemExit(f"{name} is declared in {declared[name].name} and in {module.name}")
            declared[name] = module
        parts.append(f"// --- {module.relative_to(STATIC).as_posix()}\n\n{_inline(source, module)}\n")
    parts.append(f"window.wsflask = Object.freeze({{ {', '.join(exported)} }});\n}})();\n")
    return "".join(parts)


def _collect(module: Path, order: list[Path]) -> None:
    """Add a module after all that it imports."""
    if module in order:
        return
    for _, path in _IMPORT.findall(module.read_text(encoding="utf-8")):
        _collect((module.parent / path).resolve(), order)
    order.append(module)


def _inline(source: str, module: Path) -> str:
    text = _IMPORT.sub("", source)
    text = re.sub(r"^export (?=(?:async )?(?:const|let|class|function) )", "", text, flags=re.MULTILINE)
    text = text.replace(*_ADDRESS)
    if found := re.search(r"^(?:import|export)\b.*|import\.meta.*", text, re.MULTILINE):
        raise SystemExit(f"{module.name}: cannot make a classic script of: {found.group()}")
    return text


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if wrong := [name for name in names if not name.isidentifier()]:
        raise SystemExit(f"cannot make a classic script of: {wrong[0]}")
    return names


if __name__ == "__main__":
    TARGET.write_text(classic(), encoding="utf-8")
    print(f"wrote {TARGET.relative_to(STATIC.parent)}")
