"""What we compare ourselves with, configured for the comparison and nothing else."""
