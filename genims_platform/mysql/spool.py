"""Folders for files that are sent to a server with LOAD DATA LOCAL: private, and gone with what uses them."""

import os
import shutil
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path


def private_folder(owner: object, name: str, parent: Path | None = None) -> Path:
    """A folder that only this account can read, gone with `owner`.

    Those of the same name that processes of this account left when they were killed are removed.
    """
    place = Path(tempfile.gettempdir()) if parent is None else parent
    prefix = f"genims-{name}-"
    for folder in place.glob(f"{prefix}*"):
        process = folder.name.removeprefix(prefix).partition("-")[0]
        with suppress(OSError, ValueError):
            if folder.stat().st_uid == os.getuid() and not _is_running(int(process)):
                shutil.rmtree(folder, ignore_errors=True)
    made = tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-", dir=place)
    weakref.finalize(owner, shutil.rmtree, made, ignore_errors=True)
    return Path(made)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
