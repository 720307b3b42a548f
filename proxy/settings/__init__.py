"""One TOML file and the environment -> frozen, checked settings."""

from proxy.settings.lanes import LaneSettings
from proxy.settings.listeners import ListenerSettings, ListenerTlsSettings
from proxy.settings.load import default_config_path, load_settings, locate
from proxy.settings.model import (
    BlocklistSettings,
    ControlSettings,
    EdgeSettings,
    ListSettings,
    Settings,
    TokenSettings,
)
from proxy.settings.rate_limits import RateLimitSettings
from proxy.settings.routes import RouteSettings

__all__ = [
    "BlocklistSettings",
    "ControlSettings",
    "EdgeSettings",
    "LaneSettings",
    "ListSettings",
    "ListenerSettings",
    "ListenerTlsSettings",
    "RateLimitSettings",
    "RouteSettings",
    "Settings",
    "TokenSettings",
    "default_config_path",
    "load_settings",
    "locate",
]
