"""Tests of the genims command."""
