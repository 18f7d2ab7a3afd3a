"""What can go wrong between an event and its rows."""


class UnstorableEventError(ValueError):
    """The event cannot be stored as it should be mapped, now or ever: it goes to quarantine.

    The message names columns and lengths, never a value.
    """


class CipherError(RuntimeError):
    """Encrypting failed, so nothing is known to be wrong with the event: it is tried again, not put in quarantine."""
