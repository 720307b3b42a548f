"""The command line -> what to do. Light: commands import what they need when they run."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from proxy.cli import commands, compile_lists, diff_files, inspect_file, replay_log, running

_DURATION = re.compile(r"^(\d{1,10})(s|m|h|d|w)?$")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Exits with status 2 on wrong usage, as argparse does."""
    return parser().parse_args(arguments)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="sentra-proxy", description="An edge proxy that refuses bad addresses and domains."
    )
    verbs = made.add_subparsers(metavar="COMMAND", required=True)

    run = verbs.add_parser("run", help="serve until a signal")
    _add_config(run)
    run.add_argument(
        "--take-over",
        action="store_true",
        help="take the listening sockets of the sentra-proxy that runs; it drains once this one serves",
    )
    run.set_defaults(command=commands.run)

    restart = verbs.add_parser(
        "restart", help="replace the running program; no connection is refused or lost"
    )
    _add_config(restart)
    restart.set_defaults(command=running.restart)

    reload = verbs.add_parser("reload", help="read configuration and lists again, as SIGHUP does")
    _add_config(reload)
    reload.add_argument(
        "--workers",
        action="store_true",
        help="replace the worker processes one by one instead; no connection is refused or lost",
    )
    reload.set_defaults(command=running.reload)

    quickstart = verbs.add_parser("quickstart", help="everything on this machine, with a demo gateway")
    quickstart.add_argument(
        "--lists", type=Path, metavar="FOLDER", help="load every list file in this folder"
    )
    quickstart.set_defaults(command=commands.quickstart)

    check = verbs.add_parser("check", help="validate the configuration; exit 2 names file, line and key")
    _add_config(check)
    check.add_argument(
        "--explain", metavar="URL", help="which routes a request is held against, and which it takes"
    )
    check.add_argument("--method", default="GET", help="of that request; default GET")
    check.add_argument(
        "--header", action="append", default=[], metavar="'NAME: VALUE'", help="of that request; repeatable"
    )
    check.set_defaults(command=commands.check)

    show = verbs.add_parser("show-config", help="the configuration in force, secrets masked")
    _add_config(show)
    show.add_argument("--json", action="store_true", help="as JSON")
    show.set_defaults(command=commands.show_config)

    lookup = verbs.add_parser("lookup", help="the verdict on an address or a domain, and why")
    _add_target(lookup)
    lookup.set_defaults(command=commands.lookup)

    block = verbs.add_parser("block", help="block an address, a network or a domain")
    _add_target(block)
    _add_entry(block)
    block.add_argument("--score", type=float, default=10.0, help="0-10, default 10")
    block.set_defaults(command=commands.block)

    unblock = verbs.add_parser("unblock", help="remove blocks by hand; says what goes on blocking")
    _add_target(unblock)
    unblock.set_defaults(command=commands.unblock)

    allow = verbs.add_parser(
        "allow", help="let an address, a network or a domain through, whatever lists say"
    )
    _add_target(allow)
    _add_entry(allow)
    allow.set_defaults(command=commands.allow)

    top = verbs.add_parser("top", help="who sends most, or which route gets most")
    top.add_argument("--by", choices=("client", "route"), default="client", help="default: client")
    top.add_argument(
        "--order", choices=("requests", "bytes", "denied", "limited", "errors"), default="requests"
    )
    top.add_argument("--window", default="15m", metavar="DURATION", help="60s to 30d up to now; default 15m")
    top.add_argument("--limit", type=int, default=20, metavar="COUNT", help="default 20")
    _add_admin(top)
    top.set_defaults(command=commands.top)

    for module in (compile_lists, inspect_file, diff_files, replay_log):
        module.add(verbs)
    return made


def duration(text: str) -> int:
    """`90`, `90s`, `15m`, `12h`, `7d`, `2w` -> seconds."""
    match = _DURATION.match(text)
    seconds = int(match[1]) * _SECONDS[match[2] or "s"] if match else 0
    if seconds <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration such as 3600, 15m, 12h or 7d")
    return seconds


def _add_config(to: argparse.ArgumentParser) -> None:
    to.add_argument(
        "--config", type=Path, metavar="FILE", help="default: $SENTRA_CONFIG, else ./sentra.toml if there"
    )


def _add_target(to: argparse.ArgumentParser) -> None:
    to.add_argument("target", metavar="TARGET", help="an address, a network or a domain")
    _add_admin(to)


def _add_admin(to: argparse.ArgumentParser) -> None:
    """Where the admin API is, and how its answer is shown."""
    _add_config(to)
    to.add_argument(
        "--admin-url", metavar="URL", help="default: $SENTRA_ADMIN_URL, else control.admin_listen"
    )
    to.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="default: $SENTRA_ADMIN_TOKEN, else a token of the configuration",
    )
    to.add_argument("--json", action="store_true", help="the answer as JSON")


def _add_entry(to: argparse.ArgumentParser) -> None:
    to.add_argument("--reason", default="", help="kept with the entry")
    to.add_argument(
        "--ttl", type=duration, metavar="DURATION", help="3600, 15m, 12h, 7d; default: until removed"
    )
    to.add_argument(
        "--category", action="append", default=[], metavar="NAME", help="may be given several times"
    )
    to.add_argument(
        "--kind", choices=("exact", "suffix", "below"), help="how far a domain reaches; default suffix"
    )
