"""`python -m proxy.control`: started by the supervisor."""

import argparse
import sys
from pathlib import Path

import uvloop

from proxy.control.process import ControlOptions, run
from proxy.errors import ConfigError, ProxyError
from proxy.telemetry import events, logs


def options_from(arguments: list[str]) -> ControlOptions:
    parser = argparse.ArgumentParser(prog="python -m proxy.control")
    parser.add_argument("--config", type=Path, default=None)
    parser.add_argument("--segment-fd", type=int, required=True)
    parser.add_argument("--runtime-dir", type=Path, required=True)
    parsed = parser.parse_args(arguments)
    return ControlOptions(parsed.config, parsed.segment_fd, parsed.runtime_dir)


def main() -> int:
    options = options_from(sys.argv[1:])
    try:
        uvloop.run(run(options))
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except (ProxyError, OSError) as error:
        logs.logger().error(events.CONTROL_FAILED, reason=str(error))
        return 1
    except Exception:  # noqa: BLE001 the border of the process: a dead background task ends it, with its traceback
        logs.logger().exception(events.CONTROL_FAILED)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
