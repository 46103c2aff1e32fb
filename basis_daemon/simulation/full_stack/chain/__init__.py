"""The daemon's own chain client, and web3 and aiohttp as they come, against a chain that keeps its own ledger."""
