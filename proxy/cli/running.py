"""`restart` and `reload`: what is asked of a running supervisor, by its socket in the runtime directory."""

import argparse
import sys

from proxy.cli import printing
from proxy.cli.client import UnreachableError
from proxy.cli.commands import EXIT_DONE, EXIT_REFUSED, config_path

# A supervisor gives up a successor that does not serve by itself; this only ends the wait for a broken one.
_RESTART_SECONDS = 120.0
_ANSWER_SECONDS = 10.0
# One worker starts in well under a second, and there may be many.
_REPLACE_SECONDS = 600.0


def restart(parsed: argparse.Namespace) -> int:
    """Replace the program by a new start of itself; returns when the new one serves.

    The configuration is read here first: a fault in it is shown with file, line and key, and nothing happens.
    """
    from proxy.supervisor import messages  # start of `sentra-proxy --help` must not load the extension

    return _ask(parsed, messages.RESTART, _RESTART_SECONDS, "process {process_id} serves, the old one drains")


def reload(parsed: argparse.Namespace) -> int:
    """The outcome is in the log: reading and compiling lists may take its time.

    With `--workers` it returns when all workers are new ones.
    """
    from proxy.supervisor import messages  # as above

    if parsed.workers:
        return _ask(
            parsed, messages.REPLACE_WORKERS, _REPLACE_SECONDS, "all workers are new, the old ones drain"
        )
    return _ask(parsed, messages.RELOAD, _ANSWER_SECONDS, "asked: the log says what comes of it")


def _ask(parsed: argparse.Namespace, wish: str, timeout_seconds: float, done: str) -> int:
    from proxy.settings import load_settings  # as above
    from proxy.supervisor import messages  # as above

    directory = load_settings(config_path(parsed)).state.run
    try:
        endpoint = messages.connect(directory, timeout_seconds)
    except messages.MessageError as error:
        raise UnreachableError(str(error)) from error
    with endpoint:
        messages.send(endpoint, wish)
        answer = messages.receive(endpoint)
    if answer.kind != messages.DONE:
        sys.stderr.write(f"{answer.text('reason')}\n")
        return EXIT_REFUSED
    printing.line(done.format(process_id=answer.number("process_id")))
    return EXIT_DONE
