"""Names of events and metrics, and the set-up of logging."""
