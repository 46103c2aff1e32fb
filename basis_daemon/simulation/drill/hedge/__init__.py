"""An exchange and a chain under one book: money goes between the two, and each of them counts it for itself."""
