"""Upstreams and their targets -> the part of the status that shows them."""

from typing import Any

from proxy.control.checks import Checked
from proxy.control.context import Control
from proxy.control.targets import TargetSum
from proxy.edge.config import EdgeConfig
from proxy.edge.config_upstreams import DEFAULT_NAME

Json = dict[str, Any]


def upstreams_json(control: Control) -> list[Json]:
    """What is in force, with each target that a worker has or that is checked."""
    sums = control.links.targets.sums()
    return [
        {
            "name": upstream.name,
            "balance": upstream.balance,
            "targets": _targets_json(upstream.name, sums, control.health.notes(upstream.name)),
        }
        for upstream in control.state.config.every_upstream()
    ]


def _targets_json(
    upstream: str, sums: dict[tuple[str, str], TargetSum], checked: dict[str, Checked]
) -> list[Json]:
    in_use = {
        target: found for (name, target), found in sums.items() if name == upstream and found.worker_count
    }
    rows: list[Json] = []
    for target in sorted({*in_use, *checked}):
        found, check = in_use.get(target, TargetSum()), checked.get(target)
        rows.append(
            {
                "target": target,
                "up": None if check is None else check.is_up,
                "check": "" if check is None else check.note,
                "workers": found.worker_count,
                "ejected_by": found.ejected_by,
                "in_flight": found.busy,
                "idle": found.idle,
                "failures": found.failures,
                "ejections": found.ejections,
            }
        )
    return rows


def default_upstream_text(config: EdgeConfig) -> str:
    """The first target of the upstream named default, as a person writes it."""
    target = next(
        upstream.targets[0] for upstream in config.every_upstream() if upstream.name == DEFAULT_NAME
    )
    if target.path:
        return f"unix:{target.path}"
    host = f"[{target.host}]" if ":" in target.host else target.host
    return f"{'https' if target.is_tls else 'http'}://{host}:{target.port}"
