"""Matching, verdicts and HTTP/1 heads: the compiled part of the edge."""
