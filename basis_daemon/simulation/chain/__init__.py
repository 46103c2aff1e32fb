"""A chain that is simulated over its own recorded rows: no node, no contract, the same ports."""
