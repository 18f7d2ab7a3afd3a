"""The code location that Dagster loads."""

from genims_platform.build import build_definitions

defs = build_definitions()
