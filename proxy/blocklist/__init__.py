"""List files -> what the compiler of the blocklist is fed with."""
