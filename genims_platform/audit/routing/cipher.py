"""What routing needs from encryption."""

from typing import Literal, Protocol

Side = Literal["o", "n"]
"""Before (old) or after (new) the change."""

Kind = Literal["s", "n", "b", "j"]
"""What the text was: string, number, boolean or JSON."""


class Cipher(Protocol):
    """Encrypts values under the data key of the person they are about.

    The keys are there already, so nothing here waits for a key store. The same call always returns the same text.
    """

    def encrypt(
        self,
        subject_ref: str,
        source: str,
        incarnation: int,
        event_id: int,
        column: str,
        side: Side,
        kind: Kind,
        text: str,
    ) -> str:
        """The value as it is stored; ASCII, `v1.` and so on."""
        ...

    def key_id(self, subject_ref: str) -> str:
        """The id of the data key in use for a person."""
        ...
