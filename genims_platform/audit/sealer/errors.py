"""Why a checkpoint is not made."""

from genims_platform.settings import SettingsError


class SigningKeyError(SettingsError):
    """The signing key or the file of public keys is missing or cannot be used; says how to mend it, shows no key."""


class CheckpointStoreUnavailableError(ConnectionError):
    """A place of checkpoints cannot be read or written now; nothing was lost, the next run goes on from there."""


class CheckpointExistsError(RuntimeError):
    """Another sealer wrote a checkpoint of this number first; nothing was written."""


class CheckpointDamagedError(RuntimeError):
    """A place of checkpoints holds what no sealer wrote there; only a person can say what happened."""


class SealRefusedError(RuntimeError):
    """The audit database does not hold what its hashes say; nothing was signed. Names the first wrong batch."""

    def __init__(self, batch_no: int, first_sequence: int, reason: str) -> None:
        super().__init__(f"batch {batch_no}, from audit_sequence {first_sequence} on: {reason}; nothing was signed")
        self.batch_no = batch_no
        self.first_sequence = first_sequence
        self.reason = reason
