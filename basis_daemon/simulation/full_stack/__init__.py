"""The daemon's own exchange client, and ccxt and aiohttp as they come, in virtual time over a network of memory."""
