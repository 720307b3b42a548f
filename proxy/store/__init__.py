"""The change log of a pod or a cluster: one Protocol, its records, its implementations."""
