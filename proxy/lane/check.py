"""`python -m proxy.lane.check`: can a lane's middlewares be imported? For `sentra-proxy check`.

In a process of its own: the user's modules do what they like when they are imported.
"""

import argparse
import sys
from pathlib import Path

from proxy.errors import ConfigError
from proxy.lane.settings import middlewares_of
from proxy.settings import load_settings


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m proxy.lane.check", description=__doc__)
    parser.add_argument("--lane", required=True)
    parser.add_argument("--config", type=Path)
    found = parser.parse_args()
    try:
        middlewares_of(load_settings(found.config), found.lane, found.config)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
