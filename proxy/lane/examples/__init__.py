"""Middlewares to use as they are, or to copy from. README.md above says how they get into a lane."""
