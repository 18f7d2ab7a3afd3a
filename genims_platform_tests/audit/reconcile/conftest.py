"""A site that tests reconcile with its sources; each leaves it whole."""

from collections.abc import Generator

import pytest

from genims_platform.audit.reconcile import source
from genims_platform.local.servers import Engine, LocalServers
from genims_platform.settings import Settings
from genims_platform_tests.audit.reconcile.site import ACCOUNT, Site
from genims_platform_tests.audit.relay.trail import made_trail
from genims_platform_tests.audit.verify.test_whole_platform import insert, with_checkpoints


@pytest.fixture
def _just_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was delivered a moment ago is compared too."""
    monkeypatch.setattr(source, "SETTLED_SECONDS", -5)


@pytest.fixture(scope="module")
def site(
    settings: Settings, engine: Engine, servers: LocalServers, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Site]:
    folder = tmp_path_factory.mktemp("site")
    with made_trail(settings, engine, servers, folder, ("crm", "hcm")) as trail:
        crm, hcm = trail.sources["crm"], trail.sources["hcm"]
        insert(crm, "accounts", {"account_id": ACCOUNT, "credit_limit": 100.10})
        insert(crm, "contacts", {"contact_id": "CONT-000001", "phone": "1", "last_name": "B"})
        insert(hcm, "employees", {"employee_id": "EMP-000001", "annual_salary": 1250000})
        made = Site(trail, with_checkpoints(trail.settings, folder), folder)
        made.write("crm", "UPDATE accounts SET credit_limit = 250.00", "UPDATE contacts SET phone = '+91 22 7'")
        yield made
