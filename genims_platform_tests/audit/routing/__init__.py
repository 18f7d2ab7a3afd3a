"""Tests of the mapping from events to rows; they need no server."""
