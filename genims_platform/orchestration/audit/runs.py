"""Tags by which the runs of the audit trail are found, limited and ordered."""

STREAM_TAG = "audit/stream"
DRAIN_TAG = "audit/drain"
GENERATION_TAG = "audit/generation"
DRAIN_NUMBER_TAG = "audit/drain_number"
WHOLE_YEAR_TAG = "audit/whole_year"

KIND_TAGS = {"genims/kind": "audit"}
"""Of runs that wait for a free place like all others."""

FIRST, SECOND = "100", "90"
"""Priorities: of the runs that deliver, and of those that do so when they cannot."""
