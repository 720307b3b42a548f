//! Bytes to strict HTTP/1 heads, body framing and re-made heads; no I/O.
