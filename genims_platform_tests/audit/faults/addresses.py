"""Where the programs of a fault test find the databases; the file holds passwords and belongs to its owner alone."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Addresses:
    """Connection strings of the sources, connection arguments of the audit database, and where data keys lie."""

    sources: dict[str, str]
    mysql: dict[str, Any]
    key_store: str | None = None
    key_encryption_key: str | None = None
    """Base64."""

    def write(self, path: Path) -> None:
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(self)))


def read(path: Path) -> Addresses:
    return Addresses(**json.loads(path.read_text()))
