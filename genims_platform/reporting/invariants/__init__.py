"""Equations that hold between reporting tables, computed from the same sources by different models."""
