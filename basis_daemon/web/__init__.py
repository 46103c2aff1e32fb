"""What people and scripts reach on this machine: the daemon's control socket, and a client for it."""
