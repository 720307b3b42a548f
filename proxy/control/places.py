"""Folders and addresses that the settings name -> faults with their lines, before anything is started.

What can only be seen by looking at this machine, and by asking two sections at once.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from proxy.errors import ConfigError
from proxy.settings import Settings, locate
from proxy.settings.access_log import OWN_LOG
from proxy.settings.toml_lines import KeyPath
from proxy.settings.types import BindAddress

# sun_path holds 108 bytes with the closing zero; the longest name that is put there.
_SOCKET_PATH_BYTES = 107
_LONGEST_NAME = "supervisor.sock"

Fault = tuple[KeyPath, str]


def check_places(settings: Settings, config_path: Path | None) -> None:
    """Raises ConfigError, one line per fault."""
    faults = [*_folders(settings), *_addresses(settings)]
    if faults:
        raise ConfigError("\n".join(f"{locate(config_path, key)}: {rule}" for key, rule in faults))


def _folders(settings: Settings) -> Iterator[Fault]:
    state = settings.state
    if reason := _why_not_a_folder(state.directory):
        yield ("state", "directory"), reason
    is_inside = state.run == state.directory / "run"
    run_key: KeyPath = ("state", "directory" if is_inside else "runtime_directory")
    if len(os.fsencode(state.run / _LONGEST_NAME)) > _SOCKET_PATH_BYTES:
        yield run_key, f"{str(state.run)!r} is too long for unix sockets: choose a shorter path"
    elif not is_inside and (reason := _why_not_a_folder(state.run)):
        yield run_key, reason
    log = settings.access_log
    if log.enabled and log.path != OWN_LOG:
        if log.path.is_dir():
            yield ("access_log", "path"), f"{str(log.path)!r} is a folder"
        elif not os.access(log.path.parent, os.W_OK | os.X_OK):
            yield ("access_log", "path"), f"{str(log.path.parent)!r} is no folder that can be written to"


def _why_not_a_folder(path: Path) -> str:
    """Empty when it is one, or can be made one."""
    nearest = next(folder for folder in (path, *path.parents) if folder.exists())
    if not nearest.is_dir():
        return f"{str(nearest)!r} is in the way: it is no folder"
    if not os.access(nearest, os.W_OK | os.X_OK):
        return f"{str(nearest)!r} cannot be written to"
    return ""


def _addresses(settings: Settings) -> Iterator[Fault]:
    """One address for two doors: the second would be refused by the kernel, and only at the start."""
    taken: list[tuple[BindAddress, str]] = []
    for key, address in _bound(settings):
        if address.port == 0:
            continue
        for other, name in taken:
            if other.port == address.port and (other.host == address.host or _is_any(other, address)):
                yield key, f"{address} is taken by {name} ({other})"
        taken.append((address, ".".join(str(part) for part in key)))


def _bound(settings: Settings) -> Iterator[tuple[KeyPath, BindAddress]]:
    if not settings.listeners:
        yield ("edge", "listen"), settings.edge.listen
    for index, listener in enumerate(settings.listeners):
        if isinstance(listener.listen, BindAddress):
            yield ("listeners", index, "listen"), listener.listen
    yield ("control", "admin_listen"), settings.control.admin_listen
    yield ("control", "ops_listen"), settings.control.ops_listen


def _is_any(first: BindAddress, second: BindAddress) -> bool:
    """Every address of the family: it claims the other's too. [::] does not claim 0.0.0.0 here."""
    same_family = (":" in first.host) == (":" in second.host)
    return same_family and bool({first.host, second.host} & {"0.0.0.0", "::"})
