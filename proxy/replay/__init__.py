"""Access logs of others -> what the lists would have denied."""
