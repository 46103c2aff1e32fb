"""Planted in the exchange client: found by the whole stack, where its bytes are."""

from __future__ import annotations

from tests.mutation.planted import Bug

CLIENT, FULL_STACK = "venues/cex/ccxt_client.py", ("--tier", "full-stack")

VENUES = (
    Bug(
        "the library repeats a request that failed, orders too", "I2", CLIENT,
        '        "maxRetriesOnFailure": 0,\n', '        "maxRetriesOnFailure": 3,\n', FULL_STACK,
    ),
    Bug(
        "whatever nobody foresaw counts as a refusal", "I4", "venues/cex/outcome.py",
        "UNKNOWN = Verdict(Fate.UNKNOWN, ErrorClass.OUTCOME_UNKNOWN)",
        "UNKNOWN = Verdict(Fate.REJECTED, ErrorClass.OUTCOME_UNKNOWN)", FULL_STACK,
    ),
    Bug(
        "an id that an exchange does not know yet was never sent", "I4", "venues/cex/interface.py",
        "            if self._elapsed_s(ticket, sent_at) < self.absence_proof_s:\n",
        "            if self._elapsed_s(ticket, sent_at) < 0:\n", FULL_STACK,
    ),
    Bug(
        "the secret goes out in the place of the key", "I13", CLIENT,
        'secrets = {"apiKey": options.api_key,', 'secrets = {"apiKey": options.api_secret,', FULL_STACK,
    ),
)  # fmt: skip
"""Bugs, each with the invariant that it breaks."""
