"""Which connection goes back to the pool."""

from typing import Any

import pytest

from proxy.edge.pool import may_keep


@pytest.mark.parametrize(
    ("changes", "is_kept"),
    [
        pytest.param({}, True, id="clean"),
        pytest.param({"is_open": False}, False, id="closed"),
        pytest.param({"is_current": False}, False, id="its target is none any more"),
        pytest.param({"idle_count": 8}, False, id="pool is full"),
    ],
)
def test_connection_is_kept_only_when_the_next_exchange_can_use_it(changes: dict[str, Any], is_kept: bool):
    """A decision without I/O, so a table is enough."""
    facts: dict[str, Any] = {
        "is_open": True,
        "is_current": True,
        "idle_count": 7,
        "limit": 8,
    } | changes
    assert may_keep(**facts) is is_kept
