"""What others may see of the traffic: events as they happen, summaries by the second, what they add up to."""
