"""Another policy while events wait: none is lost, and each batch says by which one its events were classed."""

from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path

import pytest

from genims_platform.audit import policy
from genims_platform.audit.capture.install import install
from genims_platform.audit.policy import AuditPolicy, Catalogue, audit_policy
from genims_platform.audit.sealer.sealer import Sealer
from genims_platform.audit.verify.verifier import Scope, verify
from genims_platform_tests.audit.relay.test_quarantine import ACCOUNT, statuses
from genims_platform_tests.audit.relay.trail import Trail
from genims_platform_tests.audit.verify.test_whole_platform import insert, with_checkpoints

BATCHES = """
    SELECT DISTINCT routing_version FROM audit_sequence_manager
    JOIN system_audit_log USING (batch_no) WHERE primary_key_value = %s
"""


@pytest.fixture
def adopt(monkeypatch: pytest.MonkeyPatch) -> Generator[Callable[[Callable[[str], str]], None]]:
    """Have the platform use its policy with changes to its text."""
    parse = policy.parse_policy

    def change(changed: Callable[[str], str]) -> None:
        def parsed(text: str, tables: Catalogue) -> AuditPolicy:
            return parse(changed(text), tables)

        monkeypatch.setattr(policy, "parse_policy", parsed)
        audit_policy.cache_clear()

    yield change
    monkeypatch.undo()
    audit_policy.cache_clear()


def without_campaigns(text: str) -> str:
    text = text.replace("version: 1", "version: 2", 1).replace(
        "      campaigns: {class: customer, key: campaign_id}\n", ""
    )
    return text.replace("not_audited: [crm_integration_log]", "not_audited: [campaigns, crm_integration_log]")


def test_events_of_a_table_that_is_audited_no_more_arrive(
    trail: Trail, adopt: Callable[[Callable[[str], str]], None], tmp_path: Path
) -> None:
    crm = trail.sources["crm"]
    crm.execute(ACCOUNT, {"id": "OLD"})
    trail.deliver()
    insert(crm, "campaigns", {"campaign_id": "WAITS", "campaign_code": "1"})

    adopt(without_campaigns)
    install(trail.settings, "crm")
    insert(crm, "campaigns", {"campaign_id": "UNSEEN", "campaign_code": "2"})
    crm.execute(ACCOUNT, {"id": "NEW"})
    trail.deliver()

    assert statuses(trail, ("OLD", "WAITS", "UNSEEN", "NEW")) == [("OLD", "OK"), ("WAITS", "OK"), ("NEW", "OK")]
    assert [trail.query(BATCHES, (key,)) for key in ("OLD", "WAITS", "NEW")] == [[(1,)], [(2,)], [(2,)]]
    trail.check_complete()
    settings = with_checkpoints(trail.settings, tmp_path)
    with closing(Sealer(settings)) as sealer:
        assert sealer.seal_once()
    assert verify(settings, Scope("full")).findings == ()
