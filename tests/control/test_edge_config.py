"""Settings reach the workers whole."""

from dataclasses import fields

from proxy.control.edge_config import to_edge_config
from proxy.edge.config import EdgeConfig
from proxy.settings import load_settings

# Every key that a worker works by, none at its default.
_ALL_DIFFERENT = """
[edge]
mode = "observe"
block_score = 6
domains = ["host", "origin"]
trusted_proxies = ["10.0.0.0/8"]
on_block = "finish"
half_close = "serve"
via = "other"
[edge.timeouts]
head_seconds = 1
keepalive_seconds = 2
body_idle_seconds = 3
send_idle_seconds = 4
tunnel_idle_seconds = 5
linger_seconds = 6
drain_seconds = 7
[edge.limits]
head_bytes = 2048
target_bytes = 512
header_count = 50
body_bytes = 9
response_head_bytes = 4096
linger_bytes = 10
write_buffer_bytes = 16384
pipelined_bytes = 2048
receive_buffer_bytes = 8192
connection_count = 11
backlog_count = 18
[upstream]
url = "http://gateway:81"
host_header = "api.example"
idle_count = 12
idle_seconds = 13
connect_seconds = 14
head_seconds = 15
read_idle_seconds = 16
write_idle_seconds = 17
[blocklist]
on_missing = "open"
"""


def test_defaults_are_the_same_on_both_sides():
    """A worker that starts before control behaves as it will behind it."""
    assert to_edge_config(load_settings(None)) == EdgeConfig()


def test_every_setting_reaches_the_workers(tmp_path):
    """A key that is read and not passed on would be worse than an unknown one."""
    path = tmp_path / "sentra.toml"
    path.write_text(_ALL_DIFFERENT)
    made, default = to_edge_config(load_settings(path)), EdgeConfig()
    # Observing forbids dropping, so this one is tried by itself.
    path.write_text("[edge]\ndrop_score = 9\n")
    assert to_edge_config(load_settings(path)).drop_score == 9
    same = [
        field.name
        for field in fields(EdgeConfig)
        if getattr(made, field.name) == getattr(default, field.name) and field.name != "drop_score"
    ]
    assert same == []
    assert EdgeConfig.from_wire(made.to_wire()) == made
