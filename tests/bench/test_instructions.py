"""Counts are taken from the right lines of callgrind's file."""

from bench.instructions import inclusive_costs

# Names by number, calls with their cost on the next line, relative positions; from a real file, shortened.
_FILE = """events: Ir
summary: 234223161

ob=(6) /target/release/examples/lookup_counts
fn=(814) main
cfn=(1030) std::rt::begin
calls=1 0
0 234223161

fn=(1226) lookup_counts::counted_ipv4_listed
0 20
cfn=(1228) blocklist::lookup4
calls=1 0
0 105
0 399996
cfn=(1228)
calls=99999 0
0 9869589

fn=(1228)
0 7000000
cfn=(1206) lookup_counts::counted_nothing
calls=1 0
0 5

fn=(1206)
0 900007
"""


def test_a_function_costs_its_own_lines_and_its_calls():
    """A call's cost stands in the caller's part, and only there it counts for the caller."""
    assert inclusive_costs(_FILE.splitlines(), "lookup_counts::") == {
        "counted_ipv4_listed": 20 + 105 + 399996 + 9869589,
        "counted_nothing": 900007,
    }
