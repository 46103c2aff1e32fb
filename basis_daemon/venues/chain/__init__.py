"""Ethereum: what an operation is on the wire, what came of it, and what the chain says at one block."""
