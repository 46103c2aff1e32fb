"""Bytes from outside, as bad as a generator can make them: a good value or a typed error, and nothing else."""
