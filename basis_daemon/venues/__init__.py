"""The only code that talks to venues: exchanges, chains, and their stand-ins."""
