"""Counterparties on loopback, speaking the venues' wire protocols, so that real clients trade against them."""
