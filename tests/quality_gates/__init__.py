"""The owner's gates: claims about this repository that hold, or name the place where they do not."""
