"""A relay's machine is copied with all that it keeps, and both copies run."""

import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from genims_platform.audit.relay.journal import journal_folder, read_journal
from genims_platform_tests.audit.relay.trail import running
from genims_platform_tests.audit.restore.conftest import ACCOUNT, ACCOUNTS, Restorable


def test_a_copy_loses_and_repeats_nothing(restorable: Restorable, tmp_path: Path) -> None:
    restorable.change(ACCOUNT, id="first")
    restorable.deliver()
    assert restorable.settings.audit_journal_dir is not None
    copied = shutil.copytree(restorable.settings.audit_journal_dir, tmp_path / "clone")
    # The copy is older than what the first one goes on to write.
    restorable.change(ACCOUNT, id="second")
    restorable.deliver()

    trail = replace(restorable.trail, settings=restorable.settings)
    clone = replace(trail, settings=restorable.settings.model_copy(update={"audit_journal_dir": copied}))
    # Neither takes heed of the other, as if each were on a network of its own.
    with running(trail, exclusive=False) as one, running(clone, exclusive=False) as other:
        for number in range(30):
            restorable.change(ACCOUNT, id=f"{number}")
            if number % 10 == 0:
                restorable.change(ACCOUNTS, id=f"many {number} ", rows=60)
        queued = len(trail.queued("crm"))
        one.wait_for(lambda: len(trail.ledger_events("crm")) >= queued or other.error is not None, "not delivered")
    assert (one.error, other.error) == (None, None)

    trail.check_complete()
    spine = trail.query("SELECT batch_no, LOWER(HEX(batch_hash)) FROM audit_sequence_manager ORDER BY 1")
    for each in (trail, clone):
        each.deliver()
        assert each.settings.audit_journal_dir is not None
        with closing(each.ledger()) as ledger:
            folder = journal_folder(each.settings.audit_journal_dir, ledger)
        lines = [(line["batch_no"], line["batch_hash"]) for line in read_journal(folder)]
        assert lines[: len(spine)] == spine
    assert restorable.seal()
    assert restorable.findings() == ()
