"""H.323's ASN.1 modules: our text of the Recommendations' definitions, and its parse in modules.json.

After a change of a .asn file `python -m h323.asn1.parse` writes modules.json anew: parsing takes a second or two, which
no start shall cost.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any


def load() -> dict[str, Any]:
    """asn1tools' parse of all modules, by module name."""
    kept = json.loads(files(__package__).joinpath("modules.json").read_text("utf-8"))
    modules: dict[str, Any] = kept["modules"]
    return modules
