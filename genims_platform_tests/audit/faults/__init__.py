"""Servers, networks and relays that fail while applications write, and an independent check that the trail is whole."""
