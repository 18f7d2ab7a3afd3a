"""The verifier on a trail that nobody touched."""

import pytest
from mysql.connector.abstracts import MySQLConnectionAbstract

from genims_platform.audit.verify import verifier
from genims_platform.audit.verify.encoding import Layout
from genims_platform.audit.verify.verifier import Scope, verify
from genims_platform_tests.audit.verify.trail import Trail


@pytest.mark.parametrize("scope", ["full", "sample", "year=2026", "new", "year=2031"])
def test_an_untouched_trail_has_no_finding(trail: Trail, scope: str) -> None:
    done = verify(trail.settings, Scope.parse(scope))
    assert done.findings == ()
    assert done.not_testable == ()
    assert done.status == "OK"
    assert trail.head
    assert (done.covers_batch_no, done.covers_sequence) == (trail.head.batch_no, trail.head.last_sequence)
    assert done.covers_hash == trail.head.batch_hash.hex()
    if scope in ("full", "year=2026", "new"):
        assert done.rows == trail.rows.total()
        assert done.batches == trail.head.batch_no + 1


def test_what_is_sealed_meanwhile_is_no_finding(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches and a checkpoint of them arrive when the verifier has begun to read."""
    read = verifier.live_layouts
    trail.ledger.close()

    def read_late(connection: MySQLConnectionAbstract, database: str) -> dict[str, Layout]:
        monkeypatch.setattr(verifier, "live_layouts", read)
        trail.control("CONTROL", "CONTROL", "REPORT")
        trail.seal()
        return read(connection, database)

    monkeypatch.setattr(verifier, "live_layouts", read_late)
    assert trail.head
    before = trail.head.batch_no
    done = verify(trail.settings, Scope.parse("full"))
    assert (done.findings, done.covers_batch_no) == ((), before)
    assert verify(trail.settings, Scope.parse("full")).covers_batch_no == before + 2
