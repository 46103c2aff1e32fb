"""Deterministic fault drills: the daemon's own engine against a venue of ill will, in virtual time, out of one seed."""
