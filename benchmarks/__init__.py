"""Benchmarks of the platform, each run by hand: `python -m benchmarks.copy_speed`, `python -m benchmarks.refresh`."""
