"""Turns the path into a market: each step moves prices, settles funding, fills resting orders and liquidates."""

from __future__ import annotations

from bisect import bisect_right

from basis_daemon.sandbox.exchange.accounts import Account
from basis_daemon.sandbox.exchange.algo import AlgoEngine
from basis_daemon.sandbox.exchange.custody import Custody
from basis_daemon.sandbox.exchange.futures import FuturesEngine
from basis_daemon.sandbox.exchange.instruments import FUTURES, Key
from basis_daemon.sandbox.exchange.money import from_e8, nearest8
from basis_daemon.sandbox.exchange.path import HOUR_MS, PricePath, Rate
from basis_daemon.sandbox.exchange.settlement import Settlement
from basis_daemon.sandbox.exchange.spot import SpotEngine
from basis_daemon.sandbox.exchange.venue import FundingState, Venue

HOURS_LOOKED_BACK = 48


class World:
    """One venue driven along one path. `advance` is the only way market time moves."""

    def __init__(self, venue: Venue, path: PricePath) -> None:
        self.venue, self.path = venue, path
        self.spot = SpotEngine(venue)
        self.futures = FuturesEngine(venue)
        self.algo = AlgoEngine(venue, self.futures)
        self.settlement = Settlement(venue, self.futures)
        self.custody = Custody(venue)
        self._rates = {symbol: list(path.rates(symbol)) for market in FUTURES for symbol in venue.symbols(market)}
        self._stamps = {symbol: [rate.at_ms for rate in rates] for symbol, rates in self._rates.items()}
        self._advanced_ms = venue.now_ms
        for key in venue.books:
            self._last_known(key)
        self.reprice(venue.now_ms)

    def advance(self, to_ms: int) -> None:
        """Move to `to_ms`, stopping at every settlement on the way so that it books at its own stamp and mark."""
        venue = self.venue
        due = sorted(
            (rate.at_ms, symbol, rate)
            for symbol, rates in self._rates.items()
            for rate in rates[
                bisect_right(self._stamps[symbol], self._advanced_ms) : bisect_right(self._stamps[symbol], to_ms)
            ]
        )
        for at_ms, symbol, rate in due:
            venue.now_ms = at_ms
            self.reprice(at_ms)
            self.settlement.funding(symbol, rate.rate)
        venue.now_ms = self._advanced_ms = to_ms
        self.reprice(to_ms)
        for account in venue.futures_accounts():
            self._work(account)

    def observe(self, now_ms: int) -> None:
        """Take the stamp of a request between two steps; a settlement that fell before it books first."""
        if any(self._advanced_ms < state.next_ms <= now_ms for state in self.venue.funding.values()):
            self.advance(now_ms)
        else:
            self.venue.now_ms = max(self.venue.now_ms, now_ms)

    def change_interval(self, symbol: str, hours: int) -> None:
        """From now on funding settles every `hours` at full multiples of them, at the scripted rates in proportion."""
        rates, now_ms, step = self._rates[symbol], self.venue.now_ms, hours * HOUR_MS
        done = rates[: bisect_right(self._stamps[symbol], now_ms)]
        coming, at_ms = rates[len(done) :], now_ms - now_ms % step + step
        while coming and at_ms <= coming[-1].at_ms:
            scripted = next(rate for rate in coming if rate.at_ms >= at_ms)
            done.append(Rate(at_ms, nearest8(scripted.rate * hours / scripted.interval_hours), hours))
            at_ms += step
        self._rates[symbol], self._stamps[symbol] = done, [rate.at_ms for rate in done]
        self.venue.funding[symbol] = self._funding_state(symbol, now_ms)

    def settled(self, symbol: str) -> list[Rate]:
        """Settlements up to now, oldest first."""
        return self._rates[symbol][: bisect_right(self._stamps[symbol], self.venue.now_ms)]

    def _work(self, account: Account) -> None:
        if account.store("spot").open:
            self.spot.match_resting(account)
        if account.store(account.market).open:
            self.futures.match_resting(account)
        if account.algos:
            self.algo.trigger(account)
        if account.positions:
            self.settlement.liquidate(account)

    def reprice(self, at_ms: int) -> None:
        """Take prices and forming rates from the script, and what was changed about them."""
        venue = self.venue
        for key, book in venue.books.items():
            price = self._price_e8(key, at_ms)
            if price is None or not book.instrument.trading:
                book.close()
            else:
                book.refresh(price, at_ms)
            if price is not None:
                self._set_price(key, price)
        for symbol in self._rates:
            venue.funding[symbol] = self._funding_state(symbol, at_ms)

    def _price_e8(self, key: Key, at_ms: int) -> int | None:
        """What the script says, with the shift that somebody put on this market."""
        price, shift = self.path.price_e8(key, at_ms), self.venue.price_shift.get(key)
        return int(price * (1 + shift)) if price is not None and shift is not None else price

    def _set_price(self, key: Key, price_e8: int) -> None:
        market, symbol = key
        value = from_e8(price_e8)
        self.venue.last_price[key] = value
        if market in FUTURES:
            self.venue.marks[symbol] = value
        else:
            self.venue.index[symbol] = value

    def _last_known(self, key: Key) -> None:
        """A market that is silent at the start still has its last price, for marks and filters."""
        at_ms = self.venue.now_ms
        for hours in range(HOURS_LOOKED_BACK):
            price = self.path.price_e8(key, at_ms - hours * HOUR_MS) or self.path.price_e8(
                key, at_ms - hours * HOUR_MS - 1
            )
            if price is not None:
                self._set_price(key, price)
                return
        raise ValueError(
            f"the {key[0]} series of {key[1]} has no price in the {HOURS_LOOKED_BACK} hours before the start"
        )

    def _funding_state(self, symbol: str, at_ms: int) -> FundingState:
        """The rate forming for the next settlement: from the last one toward it, in proportion to the time gone."""
        rates, position = self._rates[symbol], bisect_right(self._stamps[symbol], at_ms)
        last = rates[position - 1] if position else rates[0]
        if position >= len(rates):
            return FundingState(last.rate, last.at_ms + last.interval_hours * HOUR_MS, last.interval_hours)
        coming = rates[position]
        span = coming.at_ms - last.at_ms
        gone = at_ms - last.at_ms if span > 0 else 0
        predicted = nearest8(last.rate + (coming.rate - last.rate) * gone / span) if span > 0 else coming.rate
        return FundingState(predicted, coming.at_ms, coming.interval_hours)
