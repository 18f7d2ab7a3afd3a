"""What waits in a queue, seen from the last tick that was delivered."""

from collections.abc import Generator
from contextlib import closing

import pytest

from genims_platform.audit.backlog import backlogs
from genims_platform.audit.capture.queue import make_tick
from genims_platform.local.servers import Engine, LocalServers
from genims_platform.settings import Settings
from genims_platform.sources.connection import connect
from genims_platform_tests.audit.relay.trail import Trail, made_trail

INSERT = "INSERT INTO accounts (account_id, account_number, account_name) VALUES (%(id)s, %(id)s, %(id)s)"


@pytest.fixture(scope="module")
def trail(
    settings: Settings, engine: Engine, servers: LocalServers, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Trail]:
    with made_trail(settings, engine, servers, tmp_path_factory.mktemp("trail"), ["crm"]) as made:
        yield made


def test_events_wait_from_their_commit_on_whenever_their_transaction_began(trail: Trail) -> None:
    crm = trail.sources["crm"]
    with crm.session() as slow, slow.cursor() as cursor:
        cursor.execute(INSERT, {"id": "slow"})
        with closing(connect(trail.settings.audit_relay("crm"), autocommit=True)) as relay:
            tick, _ = make_tick(relay)
        assert backlogs(trail.settings, {"crm": tick})["crm"].events == 0
        crm.execute(INSERT, {"id": "quick"})
        assert backlogs(trail.settings, {"crm": tick})["crm"].events == 1
        slow.commit()
    found = backlogs(trail.settings, {"crm": tick})["crm"]
    assert found.events == 2
    assert found.oldest_ms is not None
    assert found.oldest_ms > 0
    assert backlogs(trail.settings, {"crm": tick}, counted=1)["crm"].events == 1


def test_a_source_that_does_not_answer_is_a_problem_and_no_error(trail: Trail) -> None:
    down = trail.settings.model_copy(update={"pg_port": 1})
    found = backlogs(down, {"crm": 1, "mes": 1})
    assert [backlog.events for backlog in found.values()] == [None, None]
    assert "connection refused" in (found["crm"].problem or "")
