"""Centralised exchanges, reached through ccxt."""
