"""Parse the .asn files beside this one into modules.json: `python -m h323.asn1.parse`."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import asn1tools

HERE = Path(__file__).parent
PARSED = HERE / "modules.json"
_KEPT = ("imports", "types", "values")


def digest() -> str:
    """SHA-256 of all .asn texts, which tells whether modules.json was made of them."""
    texts = hashlib.sha256()
    for path in sorted(HERE.glob("*.asn")):
        texts.update(path.read_bytes())
    return texts.hexdigest()


def parse() -> dict[str, Any]:
    """The modules as plain JSON data: what the compiler in h323.per reads of asn1tools' parse."""
    parsed = asn1tools.parse_files([str(path) for path in sorted(HERE.glob("*.asn"))])
    modules = {name: {key: module[key] for key in _KEPT} for name, module in parsed.items()}
    plain: dict[str, Any] = json.loads(json.dumps(modules))
    return plain


def text(modules: dict[str, Any]) -> str:
    """The content of modules.json: a line for each type, so that changes can be read."""
    lines: list[str] = []
    for name, module in modules.items():
        types = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in module["types"].items())
        rest = ", ".join(f'"{key}": {json.dumps(module[key])}' for key in _KEPT if key != "types")
        lines.append(f'{json.dumps(name)}: {{{rest}, "types": {{\n{types}\n}}}}')
    return f'{{"made_of": "{digest()}", "modules": {{\n' + ",\n".join(lines) + "}}\n"


if __name__ == "__main__":
    PARSED.write_text(text(parse()), "utf-8")
