"""One function per command: parsed arguments -> exit status."""

import argparse
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from proxy.cli import printing
from proxy.cli.client import AdminClient, client_for

EXIT_DONE = 0
EXIT_REFUSED = 1


def run(parsed: argparse.Namespace) -> int:
    from proxy import launch, supervisor  # start of `sentra-proxy --help` must not load settings
    from proxy.control.preflight import check_all  # as above
    from proxy.settings import load_settings  # as above

    path = config_path(parsed)
    settings = load_settings(path)
    check_all(settings, path, os.environ)
    supervisor.become(
        launch.supervisor_options(
            settings,
            path,
            takes_over=parsed.take_over,
            successor_command=launch.successor_command(path),
        )
    )


def quickstart(parsed: argparse.Namespace) -> int:
    from proxy.quickstart.start import run_quickstart  # start of `sentra-proxy --help` must not load settings

    run_quickstart(parsed.lists)


def check(parsed: argparse.Namespace) -> int:
    """Everything that a start would refuse, without starting."""
    from proxy.cli.check_lanes import check_lanes, lane_notes  # `sentra-proxy --help` must not load settings
    from proxy.control.preflight import check_all  # as above
    from proxy.settings import load_settings  # as above

    path = config_path(parsed)
    settings = load_settings(path)
    check_all(settings, path, os.environ, lambda: check_lanes(settings, path))
    for note in lane_notes(settings):
        sys.stderr.write(f"note: {note}\n")
    for item in settings.lists:
        if not item.path.is_file():
            sys.stderr.write(f"note: list {item.source!r}: {item.path} is not there (yet)\n")
    if parsed.explain is not None:
        from proxy.cli.explain_route import explain  # as above

        return explain(parsed, settings, path)
    printing.line(f"{path or 'the defaults and the environment'}: in order")
    return EXIT_DONE


def show_config(parsed: argparse.Namespace) -> int:
    from proxy.settings import load_settings  # start of `sentra-proxy --help` must not load settings

    values = load_settings(config_path(parsed)).model_dump(mode="json")
    for token in values["control"]["tokens"]:
        if token["sha256"] is not None:
            token["sha256"] = "**********"
    if parsed.json:
        printing.json_document(values)
    else:
        printing.line(printing.toml(values))
    return EXIT_DONE


def lookup(parsed: argparse.Namespace) -> int:
    status, answer = _client(parsed, "read").call("GET", "/v1/lookup", target=parsed.target)
    return _finish(parsed, status, answer, printing.lookup)


def block(parsed: argparse.Namespace) -> int:
    body = {**_entry_body(parsed), "score": parsed.score}
    status, answer = _client(parsed, "write").call("POST", "/v1/blocks", body=body)
    return _finish(parsed, status, answer, lambda given: printing.entry("blocked", given))


def allow(parsed: argparse.Namespace) -> int:
    status, answer = _client(parsed, "write").call("POST", "/v1/allows", body=_entry_body(parsed))
    return _finish(parsed, status, answer, lambda given: printing.entry("allowed", given))


def unblock(parsed: argparse.Namespace) -> int:
    status, answer = _client(parsed, "write").call("DELETE", "/v1/blocks", target=parsed.target)
    return _finish(parsed, status, answer, printing.removed)


def top(parsed: argparse.Namespace) -> int:
    wanted = {name: getattr(parsed, name) for name in ("by", "order", "window", "limit")}
    status, answer = _client(parsed, "read").call("GET", f"/v1/top?{urlencode(wanted)}")
    return _finish(parsed, status, answer, printing.top)


def _entry_body(parsed: argparse.Namespace) -> dict[str, Any]:
    body: dict[str, Any] = {"target": parsed.target, "reason": parsed.reason, "categories": parsed.category}
    if parsed.ttl is not None:
        body["ttl_seconds"] = parsed.ttl
    if parsed.kind is not None:
        body["kind"] = parsed.kind
    return body


def _finish(parsed: argparse.Namespace, status: int, answer: dict[str, Any], show: printing.Show) -> int:
    is_done = 200 <= status < 300
    if parsed.json:
        printing.json_document(answer)
    elif is_done:
        printing.line(show(answer))
    else:
        for entry in answer.get("removed", ()):
            printing.line(f"removed {entry['target']} ({entry['source']})")
        sys.stderr.write(f"{answer.get('message', answer)}\n")
    return EXIT_DONE if is_done else EXIT_REFUSED


def _client(parsed: argparse.Namespace, scope: str) -> AdminClient:
    return client_for(parsed.config, parsed.admin_url, parsed.token_file, scope, os.environ)


def config_path(parsed: argparse.Namespace) -> Path | None:
    from proxy.settings import default_config_path  # start of `sentra-proxy --help` must not load settings

    if parsed.config is not None:
        return Path(parsed.config)
    return default_config_path(os.environ)
