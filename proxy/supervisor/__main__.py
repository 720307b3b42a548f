"""`python -m proxy.supervisor OPTIONS`: what `become` starts; OPTIONS is JSON."""

import sys

from proxy.errors import ConfigError
from proxy.supervisor import SupervisorOptions, run


def main() -> int:
    try:
        return run(SupervisorOptions.from_json(sys.argv[1]))
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
