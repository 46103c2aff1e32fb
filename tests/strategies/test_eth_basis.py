"""The ETH pair: the same rules over its own shock, sized and defended to the golden numbers."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from basis_daemon.domain.decision import ReasonCode
from basis_daemon.domain.errors import ConfigError
from basis_daemon.domain.margin import pair_target
from basis_daemon.domain.order import ExecutionMode, Order, Side
from basis_daemon.settings import strategy_parameters
from basis_daemon.strategies import STRATEGIES
from basis_daemon.strategies.basis import BtcBasis
from basis_daemon.strategies.parameters import BasisParameters, BasisVenue
from tests.builders import BINANCE, D, Holding, Scene, executed, idle, paired, parameters, signs, trades_of, why_not
from tests.settings.files import edited, fault, load
from tests.strategies.test_btc_basis_defence import with_sigma

R = ReasonCode
ETH_PRICE = D(2500)
SPOT, PERP = BINANCE.spot_key("ETH"), BINANCE.perp_key("ETH")
OTHER = BasisVenue(name="second", spot_account="binance_2", perp_account="binanceusdm_2")


def eth(scene: Scene, *venues: BasisVenue, **changes: object) -> Scene:
    """The scene as one of ETH."""
    return scene.but(parameters=parameters(*venues, asset="ETH", **changes), price=ETH_PRICE)


def short_of_margin(m: str, quantity: str = "40", cash: Decimal = D(0)) -> Scene:
    """A pair of ETH at this margin ratio."""
    return eth(paired(D(quantity), ETH_PRICE, D(m), cash))


def ratio(scene: Scene, account: str = "binanceusdm") -> Decimal:
    (state,) = (state for state in scene.exposure.margins if state.account == account)
    return state.margin / state.notional


# ------------------------------------------------------------------------------------------------------ parameters
def test_each_asset_brings_its_own_shock_and_every_other_default_is_shared() -> None:
    own, other = parameters(asset="ETH"), parameters()
    assert (own.shock, other.shock) == (D("0.25"), D("0.20"))
    assert own.model_dump(exclude={"asset", "shock"}) == other.model_dump(exclude={"asset", "shock"})
    assert parameters(asset="ETH", shock=D("0.3")).shock == D("0.3")


def test_the_registered_book_trades_eth_and_refuses_the_parameters_of_another_coin() -> None:
    book = STRATEGIES["eth_basis"](parameters(asset="ETH"), "")
    assert book.name == "eth_basis"
    assert book.instruments == {SPOT, PERP}
    with pytest.raises(ConfigError, match="BtcBasis: parameters are of ETH, expected BTC"):
        BtcBasis(parameters(asset="ETH"))


def test_the_kind_in_the_file_brings_the_shock_of_its_asset(tmp_path: Path) -> None:
    settings = load(tmp_path, edited(("kind: btc_basis", "kind: eth_basis"))).settings
    found = strategy_parameters(settings, "btc")
    assert isinstance(found, BasisParameters)
    assert (found.asset, found.shock) == ("ETH", D("0.25"))


@pytest.mark.parametrize("written", ["ETH", "BTC"])
def test_a_class_counted_in_the_coin_itself_is_refused_with_the_reason(tmp_path: Path, written: str) -> None:
    told = fault(tmp_path, edited(("venue_cap: 1.0", f"venue_cap: 1.0\n      share_class: {written}")))
    assert (told.key, told.found, told.expected) == ("strategies.btc.params.share_class", repr(written), "USDT")
    assert "btc_basis is counted in USDT, eth_basis in ETH too" in told.remedy


# ----------------------------------------------------------------------------------------------------------- entry
def test_the_pair_of_the_specification() -> None:
    found = pair_target(D(100_000), D(1), D("0.40"), ETH_PRICE)
    assert (signs(found.notional), signs(found.quantity), signs(found.margin)) == (
        "71428.571", "28.571429", "28571.429",
    )  # EB1  # fmt: skip


def test_all_capital_becomes_a_pair_with_its_margin() -> None:
    scene = eth(idle(depth=D(1000)))
    assert scene.assess().reason is R.ENTRY
    transfer, spot, perp = scene.orders()
    assert (spot.instrument, perp.instrument) == (SPOT, PERP)
    assert D("28.571429") * D("0.995") < perp.quantity <= D("28.571429")  # EB1, less what both legs may cost
    after = executed(scene, [transfer, spot, perp])
    assert ratio(after) >= D("0.4")
    assert abs(after.exposure.net_delta.get("ETH", D(0))) < D("0.001")


@pytest.mark.parametrize(("mm", "m_star"), [("0.01", "0.4"), ("0.02", "0.4025")])
def test_the_target_margin_rises_with_the_maintenance_of_the_tier(mm: str, m_star: str) -> None:
    thresholds = eth(paired(D(40), ETH_PRICE), m_star=D("0.40")).but(mm=mm).assess().thresholds
    assert thresholds["m_star:binance"] == D(m_star)  # MS1


# ---------------------------------------------------------------------------------------------------------- ladder
@pytest.mark.parametrize(
    ("above", "below", "reason"),
    [
        ("0.2625", "0.2624", R.LIQ_TOPUP),  # CX7
        ("0.13625", "0.1362", R.LIQ_REDUCE),
        ("0.073125", "0.0731", R.LIQ_EMERGENCY),
    ],
)
def test_a_level_begins_where_the_specification_says(above: str, below: str, reason: ReasonCode) -> None:
    assert short_of_margin(above).assess().reason is not reason
    assert short_of_margin(below).assess().reason is reason


def test_a_reduction_sells_both_legs_by_the_same_value_until_the_target() -> None:
    scene = short_of_margin("0.12")
    perp, spot, transfer = scene.orders()
    x = D(20_000)  # CX11: N 100,000 and M 12,000
    assert (perp.reduce_only, perp.side, spot.side) == (True, Side.BUY, Side.SELL)
    assert perp.quantity == spot.quantity == x / ETH_PRICE
    assert transfer.quantity <= x
    assert abs(ratio(executed(scene, scene.orders())) - D("0.4")) < D("0.003")


def test_idle_cash_restores_the_target_and_leaves_the_short_alone() -> None:
    scene = eth(paired(D(40), ETH_PRICE, D("0.2"), D(30_000)))
    assert trades_of(scene.orders()) == [("transfer", "binanceusdm", D("20000.00"))]  # X0 = .4 N - M


def test_a_top_up_under_way_is_not_made_again_although_its_money_is_nowhere_to_be_seen() -> None:
    venue = BINANCE.model_copy(update={"network": "ethereum"})
    bare = eth(paired(D(40), ETH_PRICE, D("0.2")).holding(base=D("0.1")), venue)
    on_its_way = with_sigma(bare.risky(defence_in_flight={"binanceusdm": 1}, plan_in_flight=True), "0.01")
    found = on_its_way.assess()
    assert found.reason is R.IN_FLIGHT
    assert "level 1 is under way" in why_not(found, R.LIQ_TOPUP)
    assert with_sigma(bare, "0.01").assess().reason is R.LIQ_REDUCE  # without it nothing could restore m*


def test_a_top_up_that_no_source_can_pay_waits_while_sigma_is_unknown() -> None:
    bare = short_of_margin("0.2").holding(base=D("0.1"))
    assert "no source restores m*" in why_not(bare.assess(), R.LIQ_TOPUP)
    assert with_sigma(bare, "0.01").assess().reason is R.LIQ_REDUCE


# ------------------------------------------------------------------------------------------------- several accounts
def two_accounts(first: str, second: str) -> Scene:
    """Two pairs of 20 ETH, each at an account of its own, at these margin ratios."""
    venues = (BINANCE.model_copy(update={"weight": D("0.5")}), OTHER.model_copy(update={"weight": D("0.5")}))
    held = {
        venue.name: Holding(margin_wallet=D(m) * 20 * ETH_PRICE, base=D(20), short=D(20))
        for venue, m in zip(venues, (first, second), strict=True)
    }
    return eth(Scene(parameters(), held), *venues, venue_cap=D("0.5"))


def legs_by_group(orders: list[Order]) -> list[list[str]]:
    groups: dict[str | None, list[str]] = {}
    for order in orders:
        groups.setdefault(order.group_id, []).append(f"{order.venue} {order.side}")
    return [legs for group, legs in groups.items() if group is not None]


def test_all_accounts_at_level_three_are_acted_on_in_one_parallel_plan() -> None:
    scene = two_accounts("0.05", "0.06")
    found = scene.assess()
    assert (found.reason, found.page) == (R.LIQ_EMERGENCY, True)
    orders = scene.orders()
    assert legs_by_group(orders) == [["binanceusdm BUY", "binance SELL", "binanceusdm_2 BUY", "binance_2 SELL"]]
    assert [order.sequence_in_group for order in orders[:4]] == [0, 1, 2, 3]
    assert all(order.execution_mode is ExecutionMode.PARALLEL for order in orders[:4])
    assert [order.operation.value for order in orders[4:]] == ["transfer", "transfer"]
    after = executed(scene, orders)
    for account in ("binanceusdm", "binanceusdm_2"):
        assert abs(ratio(after, account) - D("0.4")) < D("0.01")  # less what the sale may lose inside its wider bound


def test_below_level_three_the_worst_account_alone_is_acted_on() -> None:
    orders = two_accounts("0.12", "0.11").orders()
    assert {order.venue for order in orders} == {"binanceusdm_2", "binance_2"}
    one_bad = two_accounts("0.12", "0.05").orders()
    assert {order.venue for order in one_bad} == {"binanceusdm_2", "binance_2"}


def test_sources_are_drawn_cheapest_first_own_cash_then_wallet_then_what_others_can_spare() -> None:
    routed = {"network": "ethereum", "weight": D("0.5")}
    venues = (BINANCE.model_copy(update=routed), OTHER.model_copy(update=routed))
    scene = eth(two_accounts("0.2", "0.9").but(wallet=D(3000)), *venues, venue_cap=D("0.5"))
    scene = scene.holding(cash=D(1000)).holding("second", cash=D(2000))
    drawn = [(order.venue, order.quantity) for order in scene.orders() if order.network == "ethereum"]
    assert scene.assess().reason is R.LIQ_TOPUP
    assert drawn == [("wallet", D("3000.00")), ("binance_2", D("2000.00")), ("binance_2", D("4000.00"))]
    spare = replace(scene.holdings["second"], margin_wallet=D("0.3888") * 50_000)
    poor = scene.but(holdings={**scene.holdings, "second": spare})  # at z 1.5: nothing to spare
    assert [o.operation.value for o in poor.orders()[:2]] == ["perp_trade", "spot_trade"]
