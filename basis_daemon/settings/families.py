"""Strategy parameters in the file against the parameter model of their family, which keeps numbers and ranges."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from basis_daemon.domain.errors import ConfigError
from basis_daemon.settings.document import Tree
from basis_daemon.settings.explain import Node, Where, explain, found_text, plain, unknown_key
from basis_daemon.settings.faults import Fault
from basis_daemon.settings.model import Settings
from basis_daemon.strategies import STRATEGIES
from basis_daemon.strategies.basis import BasisStrategy
from basis_daemon.strategies.parameters import QUOTE, RANGES, SHOCKS, BasisParameters, BasisVenue

FAMILIES: Mapping[str, Mapping[str, object]] = {"btc_basis": {"asset": "BTC"}, "eth_basis": {"asset": "ETH"}}
"""Parameters that make the kind what it is; the file cannot change them."""

WEIGHTS, CLASS = "w", "share_class"
_MADE_HERE = frozenset({"asset", "venues"})
_UNITS = {
    "_s": "s", "_h": "h", "_bp": "bp", "_usdt": "USDT", "_apr": "per year on equity", "_funding": "days",
    "shock": "move", "m_star": "of the notional", "k_confirm": "settlements of 8 h",
}  # fmt: skip


def strategy_parameters(settings: Settings, name: str) -> BasisParameters:
    """The parameters of one strategy instance, over the accounts of the venues that it weighs."""
    strategy = settings.strategies[name]
    accounts = {
        venue_name: (venue.accounts.spot, venue.accounts.derivatives) for venue_name, venue in settings.venues.items()
    }
    return _build(strategy.kind, strategy.params, accounts)


def make_strategies(settings: Settings) -> list[BasisStrategy]:
    """Every enabled strategy instance of the file, in its order."""
    return [
        STRATEGIES[instance.kind](strategy_parameters(settings, name), name)
        for name, instance in settings.enabled_strategies.items()
    ]


def all_parameters(settings: Settings, name: str) -> dict[str, object]:
    """What one instance runs with, defaults included, under the names that the file uses."""
    parameters = strategy_parameters(settings, name)
    values = {key: value for key, value in parameters.model_dump().items() if key not in _MADE_HERE}
    return {WEIGHTS: {venue.name: venue.weight for venue in parameters.venues}, **values}


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


def parameters_schema() -> Node:
    """The JSON schema of ``params``, with the ranges and units of strategies.md 1.4."""
    whole = BasisParameters.model_json_schema()
    properties = {name: dict(node) for name, node in whole["properties"].items() if name not in _MADE_HERE}
    for name, (low, high) in RANGES.items():
        shape = "integer" if properties[name].get("type") == "integer" else "number"
        properties[name] = {"type": shape, "default": properties[name]["default"], "minimum": Decimal(low),
                            "maximum": Decimal(high), "unit": unit_of(name)}  # fmt: skip
    each = ", ".join(f"{plain(move)} for {asset}" for asset, move in SHOCKS.items())
    properties["shock"]["description"] = f"the adverse move that distances are counted in, by default {each}"
    weight = {"type": "number", "minimum": 0, "maximum": 1, "unit": "of the book"}
    weights = {"type": "object", "additionalProperties": weight, "description": "share of each enabled venue"}
    return {"type": "object", "additionalProperties": False, "properties": {WEIGHTS: weights, **properties}}


def unit_of(name: str) -> str:
    """The unit that the last part of a parameter's name stands for; a fraction where there is none."""
    return next((unit for ending, unit in _UNITS.items() if name.endswith(ending)), "as a fraction")


def _parameter_faults(key: str, kind: str, params: Tree, venues: Mapping[str, bool], where: Where) -> list[Fault]:
    schema = parameters_schema()
    known = schema["properties"]
    faults = [
        unknown_key(f"{key}.{name}", known, where(f"{key}.{name}"), schema) for name in params if name not in known
    ]
    faults += _weight_faults(f"{key}.{WEIGHTS}", params.get(WEIGHTS), venues, where)
    faults += _class_faults(f"{key}.{CLASS}", params.get(CLASS, QUOTE), where)
    for name, (low, high) in RANGES.items():
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
    accounts = {name: (name, name) for name in params[WEIGHTS]}
    try:
        _build(kind, params, accounts)
    except ValidationError as error:
        return explain(error, schema, where, tuple(key.split(".")))
    except ConfigError as error:
        return [Fault(key, "parameters that contradict each other", str(error), "change one of them", where(key))]
    return []


def _class_faults(key: str, found: object, where: Where) -> list[Fault]:
    """A class counted in the asset itself keeps its core on chain, which no venue here reaches."""
    if found == QUOTE:
        return []
    remedy = (
        f"write {QUOTE}: a book counted in its own coin keeps that coin on Aave, and no venue here lends or borrows"
    )
    return [Fault(key, found_text(found), QUOTE, remedy, where(key))]


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


def _build(kind: str, params: Mapping[str, Any], accounts: Mapping[str, tuple[str, str]]) -> BasisParameters:
    weights = params[WEIGHTS]
    venues = tuple(
        BasisVenue(name=name, spot_account=spot, perp_account=perp, weight=Decimal(weights[name]))
        for name, (spot, perp) in accounts.items()
        if weights.get(name)
    )
    values = {name: value for name, value in params.items() if name != WEIGHTS}
    return BasisParameters.model_validate({**FAMILIES[kind], **values, "venues": venues})
