"""The aiohttp engine and `blocklist_middleware`; see README.md in this folder."""

from proxy.lane.application import build_application
from proxy.lane.config import LaneConfig
from proxy.lane.connector import GuardedConnector
from proxy.lane.middleware import Policy, blocklist_middleware

__all__ = ["GuardedConnector", "LaneConfig", "Policy", "blocklist_middleware", "build_application"]
