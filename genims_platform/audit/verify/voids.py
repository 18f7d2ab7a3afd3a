"""Numbers declared void with a record of why, and the checkpoints that are void with them."""

from collections.abc import Sequence
from dataclasses import dataclass

from mysql.connector.abstracts import MySQLConnectionAbstract

from genims_platform.audit.verify.checkpoints import Checkpoint
from genims_platform.audit.verify.encoding import microseconds
from genims_platform.mysql.append_only import SPINE


@dataclass(frozen=True)
class RecordedVoid:
    """A batch that stands for lost ones; `recorded_at` is microseconds since 1970 in UTC."""

    batch_no: int
    last_sequence: int
    recorded_at: int

    def covers(self, checkpoint: Checkpoint) -> bool:
        """Whether a checkpoint speaks of batches that were lost; one that was issued later speaks of others."""
        return (
            checkpoint.batch_no >= self.batch_no
            and checkpoint.last_sequence <= self.last_sequence
            and checkpoint.issued_at <= self.recorded_at
        )


def recorded_voids(connection: MySQLConnectionAbstract) -> Sequence[RecordedVoid]:
    """All of them; one that nothing records excuses no checkpoint."""
    with connection.cursor(raw=True) as cursor:
        cursor.execute(
            f"SELECT s.batch_no, s.last_sequence, s.recorded_at FROM security_events e JOIN {SPINE} s "  # noqa: S608
            "ON s.first_sequence = e.evidence_from AND s.batch_kind = 'VOID' "
            "WHERE e.event_severity = 'CRITICAL' AND e.event_type = 'RESTORE_VOID'"
        )
        return [
            RecordedVoid(int(batch), int(last), microseconds(bytes(at)))  # pyright: ignore
            for batch, last, at in cursor.fetchall()
        ]
