"""Binance's error codes (exchanges.md and the venue's error pages), the same for all its wallets.

What is not in the table is judged by ccxt's family, and what ccxt does not know stays unknown.
"""

from __future__ import annotations

from basis_daemon.domain.errors import ErrorClass
from basis_daemon.venues.cex.quirks import Fate, Verdict

TERMS_CODES = frozenset(
    {"-1013", "-1111", "-1121", "-2027", "-4003", "-4004", "-4005", "-4013", "-4014", "-4108", "-4140", "-4164"}
)
"""Refusals that say: the filters, the tiers or the listing are not what you believe."""


def verdicts() -> dict[str, tuple[Verdict, ...]]:
    """What every known code says of the request that it answers."""
    refused = {
        ErrorClass.RATE_LIMITED: "-1003 -1008 -1015",
        ErrorClass.INSUFFICIENT: "-2018 -2019 -4026 -4050 -4051",
        ErrorClass.AUTH: "-1002 -1022 -2014 -2015",
        ErrorClass.MARKET_CLOSED: "-4108 -4140",
        ErrorClass.RETRYABLE: "-2021 -4131 -5021 -5022",
        ErrorClass.BAD_PARAMS: "-1013 -1100 -1101 -1102 -1104 -1105 -1106 -1111 -1115 -1116 -1117 -1121 -2022 -2027 "
        "-4001 -4003 -4004 -4005 -4007 -4013 -4014 -4015 -4016 -4018 -4019 -4021 -4022 -4023 -4024 -4028 -4033 -4035 "
        "-4061 -4118 -4164",
    }
    table: dict[str, tuple[Verdict, ...]] = {
        code: (Verdict(Fate.REJECTED, error_class, is_about_terms=code in TERMS_CODES),)
        for error_class, codes in refused.items()
        for code in codes.split()
    }
    fates = {Fate.SKEWED: "-1021 -5028", Fate.NOT_FOUND: "-2011 -2013", Fate.DUPLICATE: "-4116 -20132",
             Fate.NO_CHANGE: "-4046 -4059", Fate.UNKNOWN: "-1000 -1001 -1006 -1007"}  # fmt: skip
    table |= {code: (Verdict(fate, ErrorClass.RETRYABLE),) for fate, codes in fates.items() for code in codes.split()}
    table["-2010"] = (
        Verdict(Fate.DUPLICATE, words="Duplicate order"),
        Verdict(Fate.REJECTED, ErrorClass.INSUFFICIENT, "insufficient balance"),
        Verdict(Fate.REJECTED, ErrorClass.RETRYABLE, "immediately match"),
        Verdict(Fate.REJECTED, ErrorClass.BAD_PARAMS),
    )
    closed = Verdict(Fate.REJECTED, ErrorClass.MARKET_CLOSED, "Market is closed", is_about_terms=True)
    table["-1013"] = (closed, *table["-1013"])
    return table
