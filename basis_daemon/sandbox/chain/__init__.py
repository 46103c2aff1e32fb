"""The sandbox chain: one local node with the protocols' own contracts, built once and then loaded in no time.

It is the counterparty on chain and must not import `basis_daemon.domain`: that would check the daemon against itself.
"""
