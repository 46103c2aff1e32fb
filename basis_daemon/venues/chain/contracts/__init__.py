"""Our own contracts: Solidity, what solc made of it, and the proof that an address holds exactly that."""
