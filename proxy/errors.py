"""What can go wrong, whose fault it is, and what it becomes.

ProxyError
├─ ConfigError          ours, at start or reload      exit 2, the running configuration stays
├─ ListError            a list file's fault           the last good list stays
├─ StoreError           the store's fault             503 on writes; the edge is unaffected
└─ PolicyRefused        a change that a rule forbids  409/422 with the rule's name

The request path has no exceptions of ours: the codec answers with numbers (see `fastmatch/_native.pyi`).
"""


class ProxyError(Exception):
    """Message: what happened, the value, the limit, what to do."""


class ConfigError(ProxyError):
    """Names file, line and key."""


class ListError(ProxyError):
    """A list file that cannot be read or is not of its format."""


class StoreError(ProxyError):
    """The store did not take or give a record."""


class PolicyRefused(ProxyError):  # noqa: N818 a refusal is an answer, not a fault
    """A write that policy forbids; `rule` is the setting that refused it."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule
