"""A chain of ill will: blocks that are taken back, pools that forget, nodes that lag; and the daemon's own wallet."""
