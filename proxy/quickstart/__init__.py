"""Nothing -> a running edge on this machine, with lists to be denied by and lines to try it with."""
