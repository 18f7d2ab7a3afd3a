"""Events of several sources reach the audit database: all of them, once, in order."""

from genims_platform_tests.audit.relay.trail import Trail

ACCOUNT = "INSERT INTO accounts (account_id, account_number, account_name) VALUES (%(id)s, %(id)s, %(id)s)"


def test_one_change_is_delivered(trail_of_three: Trail) -> None:
    trail_of_three.sources["crm"].execute(ACCOUNT, {"id": "ONE"})

    result = trail_of_three.deliver()

    assert result.drained
    trail_of_three.check_complete()
    assert trail_of_three.deliver().events == 0
