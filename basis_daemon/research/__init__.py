"""What a market said, kept for replay."""
