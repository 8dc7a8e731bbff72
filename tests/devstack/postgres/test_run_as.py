"""The choice of the user that runs the embedded server."""

import pytest

from devstack.postgres.run_as import USER_NAMESPACE, RunAs, choose_run_as

NOBODY = RunAs(user_id=65534, group_id=65534)
IN_NAMESPACE = RunAs(prefix=USER_NAMESPACE)


@pytest.mark.parametrize(
    ("effective_user", "owner", "namespaces", "expected"),
    [
        (1000, None, True, RunAs()),
        (1000, 1000, False, RunAs()),
        (0, None, True, IN_NAMESPACE),
        (0, 0, True, IN_NAMESPACE),
        (0, None, False, NOBODY),
        (0, 0, False, NOBODY),
        (0, 65534, True, NOBODY),
        (0, 1000, True, RunAs(user_id=1000)),
    ],
)
def test_the_user_depends_on_the_current_user_and_the_owner_of_the_data(
    effective_user: int, owner: int | None, namespaces: bool, expected: RunAs
) -> None:
    assert choose_run_as(effective_user, owner, namespaces, NOBODY) == expected
