"""What the gate before every plan lets through, and by what the risk view counts."""

from __future__ import annotations

from basis_daemon.settings.section import Number, Section, count, number


class RiskSettings(Section):
    """Hard limits of the gate before every plan: all or none, whatever the strategy thinks."""

    order_notional_max_usdt: Number = number("250000", "10", "50000000", "USDT", "one leg of a plan, before clips")
    orders_per_minute_max: int = count(60, 1, 600, "orders", "a runaway loop is stopped within the minute")
    price_band_bp: Number = number("150", "5", "1000", "bp", "limit price against mid; above slip_emergency")
    drift_shocks_per_day: Number = number(
        "1", "0.1", "10", "shocks a day", "the adverse drift that hours to liquidation are counted against"
    )
