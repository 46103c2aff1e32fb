"""The sandbox exchange: Binance spot and USD-M futures on the wire, with arithmetic of its own.

It is the counterparty. It must not import `basis_daemon.domain`: sharing the daemon's margin, funding or netting
arithmetic would only check the daemon against itself.
"""
