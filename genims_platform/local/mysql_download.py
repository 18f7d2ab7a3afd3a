"""A real MySQL server without installing it: the machine's own, or Debian's packages unpacked into a cache."""

from pathlib import Path

from genims_platform.local.process import LocalServerError


class MySQLUnavailable(LocalServerError):  # noqa: N818
    """No MySQL 8.4 or later is installed, and none can be fetched here."""


def find_or_fetch() -> list[str | Path]:
    """Program and options that start `mysqld`, without those of a particular data folder.

    Raises:
        MySQLUnavailable: there is none and none can be fetched; the message says why.
    """
    raise MySQLUnavailable("not yet")
