"""What a market said, kept for replay; and what a book did, for other programs and for people who judge it."""
