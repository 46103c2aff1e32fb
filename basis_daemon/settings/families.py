"""Strategy parameters in the file against the parameter model of their family, which keeps numbers and ranges."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ValidationError

from basis_daemon.domain.errors import ConfigError
from basis_daemon.domain.settings_faults import Fault
from basis_daemon.settings.document import Tree
from basis_daemon.settings.explain import Node, Where, explain, found_text, plain, unknown_key
from basis_daemon.settings.model import Settings
from basis_daemon.settings.transfers import NETWORK
from basis_daemon.strategies import STRATEGIES
from basis_daemon.strategies.charter import BookStrategy
from basis_daemon.strategies.hedge_parameters import HedgeParameters, LeveredHedgeParameters
from basis_daemon.strategies.ml_parameters import ML_RANGES, DirectionalParameters
from basis_daemon.strategies.onchain_parameters import (
    LENDING_RANGES,
    LEVERAGED_RANGES,
    STAKING_RANGES,
    LendingParameters,
    LeveragedParameters,
    OnchainParameters,
    StakingParameters,
)
from basis_daemon.strategies.onchain_parameters import RANGES as ONCHAIN_RANGES
from basis_daemon.strategies.overlay_parameters import OVERLAY_RANGES, OverlayParameters
from basis_daemon.strategies.parameters import (
    EXCHANGE_RANGES,
    QUOTE,
    RANGES,
    SHOCKS,
    BasisParameters,
    BasisVenue,
    ExchangeParameters,
)


@dataclass(frozen=True, slots=True)
class Family:
    """The parameters of one kind. ``fixed`` make it what it is, and the file cannot change them.

    A kind that ``weighs`` trades at exchanges, by the weights in ``w``; one whose parameters say so lives on the chain,
    and some do both.
    """

    parameters: type[BaseModel]
    ranges: Mapping[str, tuple[str, str]]
    fixed: Mapping[str, object] = field(default_factory=dict)
    weighs: bool = False

    @property
    def is_on_chain(self) -> bool:
        """True when it needs a wallet."""
        return issubclass(self.parameters, OnchainParameters)

    def shown(self) -> Mapping[str, Node]:
        """The JSON schema of what the file may say, with ranges and units."""
        whole = self.parameters.model_json_schema()
        hidden = self.fixed.keys() | _MADE_HERE
        properties: dict[str, dict[str, Any]] = {
            name: dict(node) for name, node in whole["properties"].items() if name not in hidden
        }
        for name, (low, high) in self.ranges.items():
            shape = "integer" if properties[name].get("type") == "integer" else "number"
            properties[name] = {"type": shape, "default": properties[name]["default"], "minimum": Decimal(low),
                                "maximum": Decimal(high), "unit": unit_of(name)}  # fmt: skip
        if not self.weighs:
            return properties
        each = ", ".join(f"{plain(move)} for {asset}" for asset, move in SHOCKS.items())
        properties["shock"]["description"] = f"the adverse move that distances are counted in, by default {each}"
        weight = {"type": "number", "minimum": 0, "maximum": 1, "unit": "of the book"}
        weights = {"type": "object", "additionalProperties": weight, "description": "share of each enabled venue"}
        return {WEIGHTS: weights, **properties}


_STAKED = {**ONCHAIN_RANGES, **STAKING_RANGES}
_LEVERED = {**_STAKED, **LEVERAGED_RANGES}
_HEDGED_LAMBDA = {"lambda_target": ("0", "0.80")}
FAMILIES: Mapping[str, Family] = {
    "btc_basis": Family(BasisParameters, RANGES, {"asset": "BTC"}, weighs=True),
    "eth_basis": Family(BasisParameters, RANGES, {"asset": "ETH"}, weighs=True),
    "ml_usdt_directional": Family(
        DirectionalParameters,
        {**EXCHANGE_RANGES, **ML_RANGES},
        {"asset": "BTC", "share_class": "USDT"},
        weighs=True,
    ),
    "ml_btc_directional": Family(
        DirectionalParameters,
        {**EXCHANGE_RANGES, **ML_RANGES},
        {"asset": "BTC", "share_class": "BTC"},
        weighs=True,
    ),
    "pure_lending": Family(LendingParameters, {**ONCHAIN_RANGES, **LENDING_RANGES}),
    "eth_staking_only": Family(StakingParameters, _STAKED),
    "eth_leveraged": Family(LeveragedParameters, _LEVERED),
    "usdt_market_neutral_no_leverage": Family(HedgeParameters, {**RANGES, **_STAKED}, {"asset": "ETH"}, weighs=True),
    "usdt_market_neutral": Family(
        LeveredHedgeParameters, {**RANGES, **_LEVERED, **_HEDGED_LAMBDA}, {"asset": "ETH"}, weighs=True
    ),
}
_IN_ETH = {
    "eth_basis": Family(
        OverlayParameters,
        {**RANGES, **ONCHAIN_RANGES, **LENDING_RANGES, **OVERLAY_RANGES},
        {"asset": "ETH"},
        weighs=True,
    ),
}
"""Kinds that can be counted in ETH too, as another book."""
WEIGHTS, CLASS = "w", "share_class"
IN_ETH = "ETH"
_MADE_HERE = frozenset({"venues"})
_UNITS = {
    "_s": "s", "_h": "h", "_bp": "bp", "_usdt": "USDT", "_apr": "per year on equity", "_funding": "days",
    "_bars": "bars", "_sd": "sd", "shock": "move", "m_star": "of the notional", "k_confirm": "settlements of 8 h",
}  # fmt: skip


def strategy_parameters(settings: Settings, name: str) -> BaseModel:
    """The parameters of one strategy instance; one that weighs venues, over their accounts."""
    strategy = settings.strategies[name]
    accounts = {
        venue_name: (venue.accounts.spot, venue.accounts.derivatives) for venue_name, venue in settings.venues.items()
    }
    return _build(strategy.kind, strategy.params, accounts, _ways(settings))


def _ways(settings: Settings) -> dict[str, dict[str, object]]:
    """How each venue that money may leave is reached from the wallet; a strategy plans with its cost and time."""
    transfers = settings.enabled_transfers
    if transfers is None:
        return {}
    return {
        name: {"network": NETWORK, "withdrawal_fee_usdt": venue.withdrawal_fee_usdt, "route_eta_h": transfers.eta_h}
        for name, venue in transfers.venues.items()
    }


def make_strategies(settings: Settings) -> list[BookStrategy]:
    """Every enabled strategy instance of the file, in its order."""
    return [
        STRATEGIES[instance.kind](strategy_parameters(settings, name), name)
        for name, instance in settings.enabled_strategies.items()
    ]


def weighed(settings: Settings, name: str) -> tuple[BasisVenue, ...]:
    """The venues that one strategy instance weighs; none for one that lives on the chain."""
    parameters = strategy_parameters(settings, name)
    return parameters.venues if isinstance(parameters, ExchangeParameters) else ()


def trades_at_exchanges(settings: Settings, name: str) -> bool:
    """True for an instance that trades at exchanges."""
    return _family_of(settings, name).weighs


def lives_on_chain(settings: Settings, name: str) -> bool:
    """True for an instance that needs a wallet; one that trades at exchanges may need one too."""
    return _family_of(settings, name).is_on_chain


def _family_of(settings: Settings, name: str) -> Family:
    instance = settings.strategies[name]
    return family_of(instance.kind, instance.params)


def family_of(kind: str, params: Mapping[str, Any]) -> Family:
    """The class in which the return is counted may make another book of the same kind."""
    return _IN_ETH[kind] if kind in _IN_ETH and params.get(CLASS) == IN_ETH else FAMILIES[kind]


def all_parameters(settings: Settings, name: str) -> dict[str, object]:
    """What one instance runs with, defaults included, under the names that the file uses."""
    hidden = _family_of(settings, name).fixed.keys() | _MADE_HERE
    dumped = strategy_parameters(settings, name).model_dump()
    values = {key: value for key, value in dumped.items() if key not in hidden}
    weights = {venue.name: venue.weight for venue in weighed(settings, name)}
    return {WEIGHTS: weights, **values} if weights else values


def family_faults(tree: Tree, where: Where) -> list[Fault]:
    """Everything wrong with the parameters of every instance; of instances whose shape is wrong the model speaks."""
    faults: list[Fault] = []
    strategies, venues = tree.get("strategies"), tree.get("venues")
    venues = venues if isinstance(venues, dict) else {}
    for name, strategy in strategies.items() if isinstance(strategies, dict) else ():
        if not isinstance(strategy, dict) or not isinstance(strategy.get("kind"), str):
            continue
        key, kind, params = f"strategies.{name}", strategy["kind"], strategy.get("params", {})
        if kind not in FAMILIES:
            known = ", ".join(sorted(FAMILIES))
            faults.append(
                Fault(f"{key}.kind", repr(kind), f"one of {known}", "write it like that", where(f"{key}.kind"))
            )
        elif isinstance(params, dict):
            is_enabled = strategy.get("enabled") is not False
            faults += _parameter_faults(f"{key}.params", kind, params, _weighable(venues, is_enabled=is_enabled), where)
    return faults


def _weighable(venues: Tree, *, is_enabled: bool) -> dict[str, bool]:
    """Whether each venue may be weighed: an enabled one, by a strategy that rests any."""
    return {
        name: not is_enabled or not (isinstance(venue, dict) and venue.get("enabled") is False)
        for name, venue in venues.items()
    }


def parameters_schema(families: Iterable[Family] | None = None) -> Node:
    """The JSON schema of ``params`` of these families, or of all of them together, with ranges and units."""
    shown = [*FAMILIES.values(), *_IN_ETH.values()] if families is None else families
    properties = {name: node for family in shown for name, node in family.shown().items()}
    if families is None:
        properties[CLASS] = {"type": "string", "enum": [QUOTE, IN_ETH], "default": QUOTE}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def unit_of(name: str) -> str:
    """The unit that the last part of a parameter's name stands for; a fraction where there is none."""
    return next((unit for ending, unit in _UNITS.items() if name.endswith(ending)), "as a fraction")


def _parameter_faults(key: str, kind: str, params: Tree, venues: Mapping[str, bool], where: Where) -> list[Fault]:
    family = family_of(kind, params)
    schema = parameters_schema([family])
    known = schema["properties"]
    faults = [
        unknown_key(f"{key}.{name}", known, where(f"{key}.{name}"), schema) for name in params if name not in known
    ]
    if family.weighs:
        faults += _weight_faults(f"{key}.{WEIGHTS}", params.get(WEIGHTS), venues, where)
        faults += _class_faults(f"{key}.{CLASS}", kind, params.get(CLASS, QUOTE), where)
    for name, (low, high) in family.ranges.items():
        value = params.get(name)
        if (
            isinstance(value, int | Decimal)
            and not isinstance(value, bool)
            and not Decimal(low) <= value <= Decimal(high)
        ):
            expected = f"{plain(low)} to {plain(high)} {unit_of(name)}"
            remedy = f"the unit is {unit_of(name)}: choose a value within the range"
            faults.append(Fault(f"{key}.{name}", found_text(value), expected, remedy, where(f"{key}.{name}")))
    if faults:
        return faults
    accounts = {name: (name, name) for name in params.get(WEIGHTS, ())}
    try:
        _build(kind, params, accounts)
    except ValidationError as error:
        return explain(error, schema, where, tuple(key.split(".")))
    except ConfigError as error:
        return [Fault(key, "parameters that contradict each other", str(error), "change one of them", where(key))]
    return []


def _class_faults(key: str, kind: str, found: object, where: Where) -> list[Fault]:
    """What a return may be counted in; a book that keeps its core in a coin is written for that coin."""
    classes = [QUOTE, IN_ETH] if kind in _IN_ETH else [QUOTE]
    if found in classes:
        return []
    counted = f", {', '.join(_IN_ETH)} in {IN_ETH} too" if kind not in _IN_ETH else ""
    remedy = f"write {QUOTE}: the return of {kind} is counted in {' or '.join(classes)}{counted}"
    return [Fault(key, found_text(found), " or ".join(classes), remedy, where(key))]


def _weight_faults(key: str, weights: object, venues: Mapping[str, bool], where: Where) -> list[Fault]:
    """Weights name venues of this file, and what weighs something is connected."""
    enabled = sorted(name for name, is_weighable in venues.items() if is_weighable)
    example = f"{WEIGHTS}: {{{', '.join(f'{name}: 1' for name in enabled[:1])}}}"
    if not isinstance(weights, dict) or not weights:
        found = "nothing" if weights is None else found_text(weights)
        return [Fault(key, found, "a weight for every enabled venue", f"write {example}", where(key))]
    faults = []
    for name, weight in weights.items():
        inner = f"{key}.{name}"
        if name not in venues:
            faults.append(unknown_key(inner, venues, where(inner)))
        elif isinstance(weight, bool) or not isinstance(weight, int | Decimal) or not 0 <= weight <= 1:
            remedy = "the unit is the share of the book: choose a value within the range"
            faults.append(Fault(inner, found_text(weight), "a number from 0 to 1", remedy, where(inner)))
        elif weight > 0 and name not in enabled:
            remedy = f"enable venues.{name} or give it the weight 0"
            faults.append(Fault(inner, f"{weight} for a venue that is not enabled", "0", remedy, where(inner)))
    if not faults and not any(weights.values()):
        faults.append(Fault(key, "no weight above 0", "at least one", f"write {example}", where(key)))
    return faults


def _build(
    kind: str,
    params: Mapping[str, Any],
    accounts: Mapping[str, tuple[str, str]],
    ways: Mapping[str, Mapping[str, object]] = MappingProxyType({}),
) -> BaseModel:
    family = family_of(kind, params)
    values = {name: value for name, value in params.items() if name != WEIGHTS}
    if family.weighs:
        weights = params[WEIGHTS]
        values["venues"] = tuple(
            BasisVenue.model_validate({**own, "weight": Decimal(weights[own["name"]]), **ways.get(own["name"], {})})
            for own in ({"name": n, "spot_account": s, "perp_account": p} for n, (s, p) in accounts.items())
            if weights.get(own["name"])
        )
    return family.parameters.model_validate({**values, **family.fixed})
