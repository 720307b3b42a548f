"""The command `sentra-proxy`.

Exit status: 0 done, 1 refused (or still blocked), 2 wrong usage or configuration, 3 control is out of reach.
"""

import sys
from collections.abc import Sequence

from proxy.cli.arguments import parse
from proxy.cli.client import UnreachableError
from proxy.errors import ConfigError, ProxyError

EXIT_REFUSED = 1
EXIT_CONFIGURATION = 2
EXIT_UNREACHABLE = 3


def main(arguments: Sequence[str] | None = None) -> int:
    parsed = parse(sys.argv[1:] if arguments is None else arguments)
    try:
        return int(parsed.command(parsed))
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_CONFIGURATION
    except UnreachableError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_UNREACHABLE
    except ProxyError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_REFUSED
    except BrokenPipeError:
        # `sentra-proxy lookup ... | head`: the reader has what it wanted.
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        return 130
