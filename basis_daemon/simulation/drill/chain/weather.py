"""What the market of a drilled chain does by itself: rates, rewards of staking, discounts and gas, out of the seed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

from basis_daemon.simulation.chain.record import ChainRecord, GasRow, ReserveRow, TokenRow
from basis_daemon.simulation.drill.chance import Chance, Fault

PAST = timedelta(hours=90)
HOUR = timedelta(hours=1)
GROWTH = Decimal("0.000012")
"""Of a staking token's rate, an hour: ten per cent a year, so that a levered book wants to be there."""
CHEAP, DEAR = Decimal("0.02"), Decimal("1.5")
"""What ether costs to borrow, a year."""
FALL = 12, Decimal("0.002")
"""Most steps, and their size, by which the rate of a staking token falls at once."""
GWEI = 10**9
CALM_GWEI, SPIKE_GWEI = 5, 300
ONE, WEI = Decimal(1), Decimal("1e-18")


@dataclass(slots=True)
class Weather:
    """``record`` grows by a row at every ``blow``; what is in it does not change."""

    chance: Chance
    record: ChainRecord
    gas_gwei: int = CALM_GWEI
    borrow: Decimal = CHEAP
    _tokens: dict[str, ReserveRow] = field(default_factory=dict)

    @classmethod
    def of(cls, calm: Weather, chance: Chance) -> Weather:
        """A seed's own, which goes on from there."""
        known = calm.record
        record = replace(
            known,
            reserves={symbol: list(rows) for symbol, rows in known.reserves.items()},
            tokens={symbol: list(rows) for symbol, rows in known.tokens.items()},
            gas=list(known.gas),
        )
        return cls(chance, record, _tokens=dict(calm._tokens))

    @classmethod
    def calm_until(cls, start: datetime) -> Weather:
        """Hours of calm before ``start``."""
        first = start - PAST
        weth = ReserveRow(
            first, ONE, ONE, Decimal("0.015"), CHEAP, Decimal(2_000_000), Decimal(1_700_000), Decimal(2500), None
        )
        usdt = replace(weth, supply_rate=Decimal("0.05"), borrow_rate=Decimal("0.06"), price=ONE)
        weeth = replace(
            weth, supply_rate=Decimal(0), borrow_rate=Decimal("0.01"), debt=Decimal(1000),
            price=Decimal(2600), rate=Decimal("1.04"),
        )  # fmt: skip
        record = ChainRecord(
            Path("drill"), {"WETH": [weth], "USDT": [usdt], "weETH": [weeth]}, {"weETH": []}, [], {}, ()
        )
        found = cls(Chance(0), record, _tokens={"WETH": weth, "USDT": usdt, "weETH": weeth})
        for hours in range(PAST // HOUR + 1):
            found._write(first + hours * HOUR, HOUR)
        return found

    def blow(self, before: datetime, at: datetime) -> None:
        """The rows of this instant."""
        does_turn = self.chance.strikes(Fault.RATES_TURN)
        if does_turn and self.chance.below(2):
            self.borrow = DEAR if self.borrow == CHEAP else CHEAP
        elif does_turn:
            token = self._tokens["weETH"]
            most, step = FALL
            fallen = (token.rate or ONE) * (ONE - step * (1 + self.chance.below(most)))
            self._tokens["weETH"] = replace(token, rate=_cut(fallen))
        if self.gas_gwei == CALM_GWEI and self.chance.strikes(Fault.GAS_SPIKES):
            self.gas_gwei = SPIKE_GWEI
        elif not self.chance.below(6):
            self.gas_gwei = CALM_GWEI
        self._write(at, at - before)

    def calm(self) -> None:
        """Rates are worth holding again, and gas is cheap."""
        self.borrow, self.gas_gwei = CHEAP, CALM_GWEI

    def _write(self, at: datetime, since: timedelta) -> None:
        hours = Decimal(int(since.total_seconds())) / 3600
        for symbol, row in self._tokens.items():
            rows = self.record.reserves[symbol]
            seconds = hours * 3600 / 31_536_000
            now = replace(
                row,
                at=at,
                liquidity_index=_cut(row.liquidity_index * (ONE + row.supply_rate * seconds)),
                debt_index=_cut(row.debt_index * (ONE + row.borrow_rate * seconds)),
            )
            if symbol == "WETH":
                now = replace(now, borrow_rate=self.borrow)
            elif now.rate is not None:
                now = replace(now, rate=_cut(now.rate * (ONE + GROWTH * hours)))
            self._tokens[symbol] = now
            if not rows or rows[-1].at < at:
                rows.append(now)  # type: ignore[attr-defined]  # the record's sequences are this file's lists
        token = self._tokens["weETH"]
        discount = Decimal(self.chance.below(6)) / 10_000
        self.record.tokens["weETH"].append(TokenRow(at, -discount, token.rate or ONE))  # type: ignore[attr-defined]  # as above
        self.record.gas.append(GasRow(at, self.gas_gwei * GWEI, GWEI // 10))  # type: ignore[attr-defined]  # as above


def _cut(number: Decimal) -> Decimal:
    """To the digits that a contract keeps."""
    return number.quantize(WEI)
