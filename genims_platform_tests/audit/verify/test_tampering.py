"""Whatever is done to a trail, the verifier names it and the first number that can no longer be relied on."""

from collections.abc import Generator

import pytest

from genims_platform.audit.verify.verifier import Scope, Verification, verify
from genims_platform.local.servers import Engine
from genims_platform_tests.audit.verify.attacker import Attacker
from genims_platform_tests.audit.verify.manipulations import MANIPULATIONS, Manipulation
from genims_platform_tests.audit.verify.trail import Trail


@pytest.fixture(scope="module")
def attacker(trail: Trail) -> Generator[Attacker]:
    made = Attacker(trail)
    yield made
    made.close()


def tampered(attacker: Attacker, manipulation: Manipulation) -> Verification:
    """What the verifier says after one manipulation; the trail is as it was afterwards."""
    try:
        if manipulation.unfence:
            attacker.unfence(manipulation.tables)
        manipulation.act(attacker)
        if manipulation.unfence and manipulation.refence:
            attacker.fence(manipulation.tables)
        return verify(attacker.trail.settings, Scope.parse("full"))
    finally:
        if manipulation.undo:
            manipulation.undo(attacker)
        attacker.restore(manipulation.tables, rebuild=manipulation.rebuild)


@pytest.mark.parametrize("manipulation", MANIPULATIONS, ids=lambda m: f"{m.code} {m.name}")
def test_it_is_found(attacker: Attacker, manipulation: Manipulation, engine: Engine) -> None:
    if manipulation.engine not in (None, engine):
        pytest.skip(f"only {manipulation.engine} lets anybody do that")
    done = tampered(attacker, manipulation)
    assert done.status == "FAILED"
    named = [found.sequence for found in done.findings if found.code == manipulation.code]
    assert named, done.findings
    assert min((number for number in named if number is not None), default=None) == manipulation.sequence, done.findings


def test_an_edit_is_found_in_every_table(attacker: Attacker) -> None:
    """Whatever column: source_db, which all share and which is text."""
    for table in sorted(attacker.trail.rows):
        ((sequence,),) = attacker.rows(f"SELECT MAX(audit_sequence) FROM {table}")
        statement = f"UPDATE {table} SET source_db = UPPER(source_db) WHERE audit_sequence = {sequence}"
        edit = Manipulation("", "V5", sequence, (table,), lambda _, edit=statement: attacker.run(edit))
        done = tampered(attacker, edit)
        assert [(found.code, found.table, found.sequence) for found in done.findings if found.code == "V5"] == [
            ("V5", table, sequence)
        ]


def test_afterwards_nothing_is_wrong(attacker: Attacker) -> None:
    assert verify(attacker.trail.settings, Scope.parse("full")).findings == ()
