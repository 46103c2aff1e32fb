"""The laboratory is everybody's here."""

from tests.contracts.lab import built, lab

__all__ = ["built", "lab"]
