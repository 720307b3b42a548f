"""The admin API: HTTP and JSON around the control process."""

from proxy.control.admin.application import admin_application

__all__ = ["admin_application"]
