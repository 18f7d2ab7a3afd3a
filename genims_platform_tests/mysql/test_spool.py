"""Folders of files on their way: private, and none is left for long."""

import gc
import subprocess
import sys
from pathlib import Path

from genims_platform.mysql.spool import private_folder


class Owner:
    """Something that a folder may belong to."""


def test_a_folder_is_private_and_goes_with_its_owner(tmp_path: Path) -> None:
    owner = Owner()
    folder = private_folder(owner, "test", tmp_path)
    (folder / "rows.csv").write_text("1,2")
    assert folder.stat().st_mode & 0o777 == 0o700
    del owner
    gc.collect()
    assert not folder.exists()


def test_folders_of_killed_processes_are_removed(tmp_path: Path) -> None:
    owner = Owner()
    # The child ends without tidying up, as when it is killed.
    script = "import os, sys, pathlib; from genims_platform.mysql.spool import private_folder; "
    script += "print(private_folder(sys, 'test', pathlib.Path(sys.argv[1])), flush=True); os._exit(9)"
    child = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=False)
    left = Path(child.stdout.strip())
    assert left.is_dir()
    own = private_folder(owner, "test", tmp_path)
    assert own.is_dir()
    assert not left.exists()
    private_folder(owner, "test", tmp_path)
    assert own.is_dir()
