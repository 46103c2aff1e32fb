"""What is too long for every day: two hundred kills, and months of quiet."""
