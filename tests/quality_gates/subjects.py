"""The registered strategies and how to show each of them its pictures; a new strategy adds its line here."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from basis_daemon.strategies import STRATEGIES
from basis_daemon.strategies.basis import BtcBasis, EthBasis
from basis_daemon.strategies.parameters import BasisParameters, BasisVenue
from tests.quality_gates.chain_pictures import chain_pictures
from tests.quality_gates.directional_pictures import directional_pictures
from tests.quality_gates.pictures import basis_pictures
from tests.quality_gates.strategy import Subject
from tests.strategies import hedge_scenes
from tests.strategies.chain_scenes import Run
from tests.strategies.hedge_scenes import overlaid, overlay_candidate
from tests.strategies.levered_scenes import candidate, levered
from tests.strategies.ml_scenes import inverse, linear
from tests.strategies.staking_scenes import holder, staker
from tests.strategies.test_pure_lending import lender

ONE = Decimal(1)


def basis_parameters(asset: str) -> BasisParameters:
    """The defaults of a basis book that trades on one exchange."""
    venue = BasisVenue(name="binance", spot_account="binance", perp_account="binanceusdm", weight=ONE)
    return BasisParameters(asset=asset, venues=(venue,), venue_cap=ONE)


def lent() -> Run:
    """A dollar book the day after its entry."""
    run = lender()
    run.live(days=1)
    return run


SUBJECTS: tuple[Subject, ...] = (
    Subject("btc_basis", lambda: BtcBasis(basis_parameters("BTC")), basis_pictures),
    Subject("eth_basis", lambda: EthBasis(basis_parameters("ETH")), basis_pictures),
    Subject("pure_lending", lambda: lender().strategy, chain_pictures(lender, lent)),
    Subject("eth_staking_only", lambda: staker().strategy, chain_pictures(staker, holder)),
    Subject("ml_usdt_directional", lambda: linear().strategy, directional_pictures(linear)),
    Subject("ml_btc_directional", lambda: inverse().strategy, directional_pictures(inverse)),
    Subject("eth_leveraged", lambda: candidate().strategy, chain_pictures(candidate, levered)),
    Subject("eth_basis", lambda: overlay_candidate().strategy, chain_pictures(overlay_candidate, overlaid)),
    Subject(
        "usdt_market_neutral_no_leverage",
        lambda: hedge_scenes.candidate().strategy,
        chain_pictures(hedge_scenes.candidate, hedge_scenes.entered),
    ),
    Subject(
        "usdt_market_neutral",
        lambda: hedge_scenes.levered_candidate().strategy,
        chain_pictures(hedge_scenes.levered_candidate, hedge_scenes.levered),
    ),
)


def registered() -> Mapping[str, object]:
    """Strategy class by the name that a configuration uses."""
    return STRATEGIES
