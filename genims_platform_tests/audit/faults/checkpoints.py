"""Checkpoints of the trail under test."""

from contextlib import closing
from pathlib import Path

from genims_platform.audit.ledger.append import open_ledger
from genims_platform.audit.ledger.control import instance
from genims_platform.audit.sealer.sealer import Sealer
from genims_platform.audit.sealer.signing import add_public_key, new_signing_key
from genims_platform.audit.sealer.worm import CheckpointFolder
from genims_platform.settings import Settings, load_settings
from genims_platform_tests.audit.faults.run import STALL_SECONDS
from genims_platform_tests.audit.faults.stage import Program, Stage

COPIES = "SELECT checkpoint_no FROM audit_integrity_checkpoints WHERE checkpoint_no IS NOT NULL ORDER BY 1"


class Checkpoints:
    """A sealer of the stage's trail."""

    def __init__(self, stage: Stage, folder: Path, **variables: str) -> None:
        self.stage = stage
        self.worm = folder / "worm"
        self.worm.mkdir()
        self.variables = {
            "AUDIT_WORM_URI": self.worm.as_uri(),
            "AUDIT_SIGNING_KEY_FILE": str(folder / "signing-key"),
            "AUDIT_PUBLIC_KEYS_FILE": str(folder / "public-keys"),
            **variables,
        }
        key = new_signing_key(folder / "signing-key")
        add_public_key(folder / "public-keys", key.public)

    @property
    def settings(self) -> Settings:
        values = {**self.stage.values, **self.variables}
        return load_settings({name.lower(): value for name, value in values.items()})

    @property
    def sealer(self) -> Sealer:
        return Sealer(self.settings)

    def numbers(self) -> list[int]:
        """Of the checkpoints in their place."""
        with closing(open_ledger(self.stage.settings, "writer")) as ledger:
            kept = CheckpointFolder(self.worm).since(instance(ledger), 0)
            return [checkpoint.statement.checkpoint_no for checkpoint in kept]

    def copies(self) -> list[int]:
        return [number for (number,) in self.stage.audit(COPIES)]

    def command(self, *arguments: str) -> Program:
        return self.stage.genims("audit", *arguments, **self.variables)

    def happens(self) -> None:
        """Something to be signed."""
        program = self.stage.relay("--once")
        assert program.wait(STALL_SECONDS) == 0, program.tail()
