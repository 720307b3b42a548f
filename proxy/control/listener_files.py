"""Certificates, keys and authorities that the settings name -> faults with their lines, before they count."""

from pathlib import Path

from proxy.control.edge_config import to_edge_config
from proxy.edge.certificates import CertificateFault, load_keyring
from proxy.errors import ConfigError
from proxy.settings import Settings, locate


def check_listener_files(settings: Settings, config_path: Path | None) -> None:
    """Reads every file as a worker will. Raises ConfigError, one line per listener at fault."""
    faults = []
    for index, listener in enumerate(to_edge_config(settings).listeners):
        if listener.tls is None:
            continue
        try:
            load_keyring(listener.tls)
        except CertificateFault as fault:
            place = locate(config_path, ("listeners", index, "tls", *fault.key))
            faults.append(f"{place}: {fault}")
    if faults:
        raise ConfigError("\n".join(faults))
