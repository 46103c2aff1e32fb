"""Whole systems in virtual time: the daemon's own engine on recorded history."""
