"""Tests of the private servers and the generator; they run real servers."""
