"""The key store as it is: delivering again never makes a key, for what a new key encrypts comes out differently."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from genims_platform.audit.encryption.cipher import DataKey
from genims_platform.audit.encryption.keystore import KeyStore
from genims_platform.audit.encryption.stored_keys import KeyFacts, KeyStoreHealth


class KeyMissingError(RuntimeError):
    """A person has no living key; the message names no person."""


class PresentKeys:
    """A key store that makes no keys; otherwise the one it is given."""

    def __init__(self, keys: KeyStore) -> None:
        self._keys = keys
        self._known: set[str] = set()

    @property
    def location(self) -> str:
        """See `KeyStore.location`."""
        return self._keys.location

    def get_or_create(self, refs: Iterable[str]) -> Mapping[str, DataKey]:
        """The living keys of these persons.

        Raises:
            KeyMissingError: one of them has none.
        """
        wanted = list(refs)
        for ref in wanted:
            if ref not in self._known:
                facts = self._keys.list(ref)
                if not any(key.destroyed_at is None for key in facts):
                    what = "was destroyed since" if facts else "is not in it"
                    raise KeyMissingError(
                        f"{self.location}: the key of a person of type {ref.partition(':')[0]} {what}"
                    )
                self._known.add(ref)
        return self._keys.get_or_create(wanted)

    def get(self, key_id: str) -> DataKey:
        """See `KeyStore.get`."""
        return self._keys.get(key_id)

    def destroy(self, subject_ref: str, request_id: str, approvals: Collection[str]) -> int:
        """See `KeyStore.destroy`."""
        self._known.discard(subject_ref)
        return self._keys.destroy(subject_ref, request_id, approvals)

    def list(self, subject_ref: str) -> Sequence[KeyFacts]:
        """See `KeyStore.list`."""
        return self._keys.list(subject_ref)

    def health(self) -> KeyStoreHealth:
        """See `KeyStore.health`."""
        return self._keys.health()

    def close(self) -> None:
        """See `KeyStore.close`."""
        self._keys.close()
