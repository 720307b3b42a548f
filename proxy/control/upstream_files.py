"""Files that `tls` of upstreams names -> faults with their lines, before they count."""

from pathlib import Path

from proxy.control.edge_config import to_edge_config
from proxy.edge.upstream_tls import TlsFileFault, load_client_context
from proxy.errors import ConfigError
from proxy.settings import Settings, locate
from proxy.settings.toml_lines import KeyPath


def check_upstream_files(settings: Settings, config_path: Path | None) -> None:
    """Reads every file as a worker will. Raises ConfigError, one line per upstream at fault."""
    tables: dict[str, KeyPath] = {
        upstream.name: ("upstreams", index) for index, upstream in enumerate(settings.upstreams)
    }
    faults = []
    for upstream in to_edge_config(settings).every_upstream():
        if not any(target.is_tls for target in upstream.targets):
            continue
        try:
            load_client_context(upstream.tls)
        except TlsFileFault as fault:
            table = tables.get(upstream.name, ("upstream",))
            faults.append(f"{locate(config_path, (*table, 'tls', fault.key))}: {fault}")
    if faults:
        raise ConfigError("\n".join(faults))
