"""Secrets and folders that the audit trail needs on a laptop; in production each of them has another owner."""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from genims_platform.settings import AuditRole

FOLDER = "audit"
"""Below the home of the local servers."""


def audit_environment(home: Path, known: Mapping[str, str | None], *, tls: bool) -> dict[str, str]:
    """The variables of a local audit trail, secrets included; those that `known` has are kept.

    Makes the folders that they name. The key of checkpoints and the store of persons' keys are made by whoever knows
    their form.

    Args:
        home: the folder of the local servers.
        known: the variables as they were written before.
        tls: whether the local MySQL server offers it.
    """
    folder = home / FOLDER
    # A key store is of no use without its key, so another key gets another store.
    kek = known.get("AUDIT_KEK") or base64.b64encode(secrets.token_bytes(32)).decode("ascii")
    store = folder / f"keys-{hashlib.sha256(kek.encode()).hexdigest()[:8]}.db"
    fresh = {f"MYSQL_AUDIT_{role.upper()}_PASSWORD": secrets.token_urlsafe(24) for role in get_args(AuditRole)}
    fresh |= {
        "AUDIT_PG_RELAY_PASSWORD": secrets.token_urlsafe(24),
        "AUDIT_KEK": kek,
        "AUDIT_KEYSTORE_URI": f"sqlite:///{store}",
        "AUDIT_SIGNING_KEY_FILE": str(folder / "signing-key"),
        "AUDIT_PUBLIC_KEYS_FILE": str(folder / "public-keys"),
        "AUDIT_WORM_URI": (folder / "checkpoints").as_uri(),
        "AUDIT_WITNESS_URI": (folder / "witness").as_uri(),
        "AUDIT_JOURNAL_DIR": str(folder / "journal"),
    }
    for path in (folder, folder / "checkpoints", folder / "witness", folder / "journal"):
        path.mkdir(mode=0o700, exist_ok=True)
    kept = {name: known.get(name) or value for name, value in fresh.items()}
    return {**kept, "AUDIT_INSECURE": "0" if tls else "1"}
