"""What can be wrong with the keys of persons, sorted by what a caller can do: wait, or have a person mend it."""

from genims_platform.settings import SettingsError


class KeyStoreUnavailableError(ConnectionError):
    """The key store cannot be reached for now: nothing was lost, and the same call may succeed later."""


class KeyStoreMissingError(KeyStoreUnavailableError):
    """There is no key store where the settings say; a new one is never made in passing, for it would lack every key."""


class KeyStoreCorruptError(KeyStoreUnavailableError):
    """The key store holds what it never stored; it cannot be used until a person puts a backup in its place."""


class WrongKekError(SettingsError, ConnectionError):
    """`AUDIT_KEK` is not the key that this key store was made with.

    To a running program it is also a store that cannot be reached: another file may have come into its place.
    """


class KeySettingsError(SettingsError):
    """A variable that names a key or a key store is missing or holds what cannot be used; never shows the value."""


class KeyGoneError(LookupError):
    """The key was destroyed, and with it what was encrypted under it; or this store never had it."""


class DestructionRefusedError(ValueError):
    """Destroying a key needs a request and the approvals of two persons."""
