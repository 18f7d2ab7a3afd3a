"""Two captured sources, delivered by a real relay, and somebody who may do anything to the audit database."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from genims_platform.audit.verify.verifier import Scope, Verification, verify
from genims_platform.settings import Settings
from genims_platform_tests.audit.relay.trail import Trail
from genims_platform_tests.audit.verify import trail as verified
from genims_platform_tests.audit.verify.attacker import Attacker

ACCOUNT = "ACC-000001"


@dataclass
class Site:
    """A trail whose checkpoints lie in `worm`."""

    trail: Trail
    settings: Settings
    home: Path
    head: Any = None
    ticks: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def worm(self) -> Path:
        return self.home / "worm"

    def write(self, source: str, *statements: str) -> None:
        """Run statements as the owner of the tables, then deliver what they did."""
        for statement in statements:
            self.trail.sources[source].execute(statement)
        self.trail.deliver()

    def verified(self) -> Verification:
        """A full verification."""
        return verify(self.settings, Scope("full"), processes=1)

    @contextmanager
    def attacked(self, *tables: str) -> Generator[Attacker]:
        """Triggers and checks are off for these tables meanwhile."""
        attacker = Attacker(cast("verified.Trail", self))
        attacker.unfence(tables)
        try:
            yield attacker
        finally:
            attacker.fence(tables)
            attacker.close()
