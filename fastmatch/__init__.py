"""Matching, verdicts and HTTP/1 heads: the compiled part of the edge."""

from fastmatch._native import (
    Blocklist,
    Builder,
    Covering,
    Entry,
    Explanation,
    LoadReport,
    Verdict,
    canonical_target,
    pack_entries,
    unpack_entries,
)

__all__ = [
    "Blocklist",
    "Builder",
    "Covering",
    "Entry",
    "Explanation",
    "LoadReport",
    "Verdict",
    "canonical_target",
    "pack_entries",
    "unpack_entries",
]
