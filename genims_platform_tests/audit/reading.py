"""Events for tests of the commands that read the audit trail, and those commands as an auditor runs them."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from typer.testing import CliRunner, Result

from genims_platform.audit.ledger.append import Ledger
from genims_platform.audit.ledger.batch import Batch
from genims_platform.audit.ledger.entries import Columns, Value
from genims_platform.cli import app
from genims_platform.settings import Settings
from genims_platform_tests.audit.ledger.chain import Chain, entry, needed
from genims_platform_tests.audit.ledger.conftest import chain, ledger, ledger_settings, owner

__all__ = ["chain", "crm", "happens", "ledger", "ledger_settings", "owner", "run"]

WHO: Columns = {"user_id": "u.miller", "user_role": "controller", "db_user": "crm_app", "application_name": "portal"}


@pytest.fixture
def crm(ledger: Ledger, chain: Chain) -> Chain:
    """The source crm after whatever other tests delivered."""
    known = ledger.cursor("crm")
    own = Chain(chain.ledger, "crm", known.span.tick_to if known else 0)
    if known is None:
        own.append("OPEN", [])
    return own


def happens(crm: Chain, operation: str, *changes: Columns, key: str, **about: Value) -> Batch:
    """Deliver one event of a row of accounts, alone in its batch."""
    where: Columns = {"table_name": "accounts", "primary_key_value": key, "operation_type": operation, "status": "OK"}
    base = needed("data_change_audit") | {"chunk_no": 1, "chunk_count": 1, "reason_code": "R", "approval_id": "AP-1"}
    details: Sequence[tuple[str, Columns]] = [("data_change_audit", {**base, **change}) for change in changes]
    plain = entry(details=details)
    return crm.append("STREAM", [replace(plain, ledger={**plain.ledger, **where, **WHO, **about})])


def run(settings: Settings, *arguments: str) -> Result:
    """`genims audit` with these arguments, by somebody who has the auditor's account only."""
    environment = {
        "MYSQL_AUDIT_PORT": str(settings.mysql_audit_port),
        "MYSQL_AUDIT_DB": settings.mysql_audit_db,
        "MYSQL_AUDIT_AUDITOR_USER": settings.mysql_audit_auditor_user,
        "MYSQL_AUDIT_AUDITOR_PASSWORD": settings.mysql_audit_auditor_password.get_secret_value(),
    }
    return CliRunner(env=environment).invoke(app, ["audit", *arguments], catch_exceptions=False)
