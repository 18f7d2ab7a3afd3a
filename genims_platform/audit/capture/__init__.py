"""Capture of changes in the source databases: installed, checked, removed, and read in ranges."""
