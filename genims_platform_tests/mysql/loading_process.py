"""Replaces one slice of `coded_daily`; the address comes in as JSON on standard input. Run by test_slices."""

import json
import sys
from datetime import date

import polars as pl

from genims_platform.mysql.connection import Database
from genims_platform.mysql.slices import exclusive_writer
from genims_platform.settings import MySQLServer
from genims_platform_tests.mysql.conftest import CONTRACTS

if __name__ == "__main__":
    day = date(2026, 11, 1)
    frame = CONTRACTS["coded_daily"].cast(pl.DataFrame({"code": [4, 5, 6, 7]}).with_columns(day=pl.lit(day)))[0]
    database = Database(MySQLServer(**json.loads(sys.stdin.read())))
    with exclusive_writer(database, "coded_daily", timeout=30) as writer:
        writer.replace(CONTRACTS["coded_daily"], frame, [(day, date(2026, 11, 2))], period_column="day")
