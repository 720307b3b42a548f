"""Settings -> everything that a start would refuse, all at once."""

from collections.abc import Callable, Mapping
from pathlib import Path

from proxy.control.auth import doors_from
from proxy.control.edge_config import check_edge_config
from proxy.control.listener_files import check_listener_files
from proxy.control.places import check_places
from proxy.control.policy import rules_from
from proxy.control.upstream_files import check_upstream_files
from proxy.errors import ConfigError
from proxy.settings import Settings


def check_all(
    settings: Settings,
    config_path: Path | None,
    environ: Mapping[str, str],
    *further: Callable[[], object],
) -> None:
    """Raises ConfigError with a line for each fault: who repairs one wants to see the next one too."""
    checks: tuple[Callable[[], object], ...] = (
        lambda: check_edge_config(settings, config_path),
        lambda: doors_from(settings, environ, config_path),
        lambda: check_listener_files(settings, config_path),
        lambda: check_upstream_files(settings, config_path),
        lambda: rules_from(settings),
        lambda: check_places(settings, config_path),
        *further,
    )
    faults = []
    for check in checks:
        try:
            check()
        except ConfigError as error:
            faults.append(str(error))
    if faults:
        raise ConfigError("\n".join(faults))
