"""The in-process venue: real prices, simulated fills. Dry runs trade on it, and so do the engine's own tests."""
