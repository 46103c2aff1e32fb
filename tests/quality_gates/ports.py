"""Whether a class honours a port: its methods, their parameters, what they return, and whether they are awaited."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import typing
from collections.abc import Callable, Iterator
from types import ModuleType

from basis_daemon import journal, venues
from basis_daemon.domain.order import Order
from basis_daemon.domain.trade import Trade
from basis_daemon.ports import ExecutionInterface, Journal
from tests.quality_gates.gate import Found

PORT_OF_ORDERS = {"execute_order": ([Order], Trade)}
"""The owner's own words about an interface: it takes an Order and returns a Trade, and nothing is converted between."""


def interfaces_take_orders_and_return_trades(classes: list[type] | None = None) -> Found:
    """Every class below basis_daemon/venues that executes orders, against the port and the owner's words."""
    found = execution_interfaces() if classes is None else classes
    faults = [fault for cls in found for fault in (*port_faults(cls, ExecutionInterface), *_order_in_trade_out(cls))]
    if not found:
        faults.append("basis_daemon/venues: no class executes orders, expected at least one")
    return Found(", ".join(cls.__name__ for cls in found) or "nothing", tuple(faults))


def journals_honour_the_port(classes: list[type] | None = None) -> Found:
    """Every class below basis_daemon/journal that appends durably, against the port."""
    found = journals() if classes is None else classes
    faults = [fault for cls in found for fault in port_faults(cls, Journal)]
    if not found:
        faults.append("basis_daemon/journal: no class appends durably, expected at least one")
    return Found(", ".join(cls.__name__ for cls in found) or "nothing", tuple(faults))


def execution_interfaces() -> list[type]:
    """Classes defined below basis_daemon/venues that execute orders, or say so by their name."""
    return [
        cls for cls in _classes_below(venues) if hasattr(cls, "execute_order") or "ExecutionInterface" in cls.__name__
    ]


def journals() -> list[type]:
    """Classes defined below basis_daemon/journal that append durably."""
    return [cls for cls in _classes_below(journal) if hasattr(cls, "append_durable")]


def port_faults(cls: type, port: type) -> Iterator[str]:
    """Where ``cls`` differs from the protocol ``port``."""
    for name, wanted in vars(port).items():
        if name.startswith("_"):
            continue
        place = f"{cls.__module__}.{cls.__qualname__}.{name}"
        if isinstance(wanted, property):
            if not _has_attribute(cls, name):
                yield f"{place}: missing, expected a property or an attribute set in __init__"
        elif callable(wanted):
            yield from _method_faults(place, getattr(cls, name, None), wanted)


def _method_faults(place: str, method: object, wanted: Callable[..., object]) -> Iterator[str]:
    if not inspect.isfunction(method):
        yield f"{place}: missing, expected {inspect.signature(wanted)}"
        return
    if inspect.iscoroutinefunction(method) is not inspect.iscoroutinefunction(wanted):
        yield f"{place}: is {'' if inspect.iscoroutinefunction(method) else 'not '}async, expected the other"
    have, want = typing.get_type_hints(method), typing.get_type_hints(wanted)
    have_names, want_names = list(inspect.signature(method).parameters), list(inspect.signature(wanted).parameters)
    extra = have_names[len(want_names) :]
    optional = all(inspect.signature(method).parameters[p].default is not inspect.Parameter.empty for p in extra)
    if have_names[: len(want_names)] != want_names or not optional:
        yield f"{place}: takes {have_names}, expected {want_names}"
    for name, kind in want.items():
        if name != "return" and have.get(name) != kind:
            yield f"{place}: {name} is {have.get(name)}, expected {kind}"
    if not _is_as_narrow(have.get("return"), want.get("return")):
        yield f"{place}: returns {have.get('return')}, expected {want.get('return')}"


def _order_in_trade_out(cls: type) -> Iterator[str]:
    for name, (takes, returns) in PORT_OF_ORDERS.items():
        method = getattr(cls, name, None)
        if not inspect.isfunction(method):
            continue
        hints = typing.get_type_hints(method)
        if list(hints.values())[:1] != takes or hints.get("return") is not returns:
            yield f"{cls.__qualname__}.{name}: {inspect.signature(method)}, expected an Order in and a Trade out"


def _has_attribute(cls: type, name: str) -> bool:
    if hasattr(cls, name) or any(name in vars(base).get("__annotations__", {}) for base in cls.__mro__):
        return True
    starts = [vars(base)["__init__"] for base in cls.__mro__ if "__init__" in vars(base)]
    return any(f"self.{name}" in inspect.getsource(start) for start in starts if inspect.isfunction(start))


def _is_as_narrow(have: object, want: object) -> bool:
    """True for the same type and for a class below it; containers are compared by what they hold."""
    if have == want:
        return True
    have_origin, want_origin = typing.get_origin(have) or have, typing.get_origin(want) or want
    is_below = inspect.isclass(have_origin) and inspect.isclass(want_origin) and issubclass(have_origin, want_origin)
    return is_below and (not typing.get_args(want) or typing.get_args(have) == typing.get_args(want))


def _classes_below(package: ModuleType) -> list[type]:
    found: list[type] = []
    for module in _modules_below(package):
        found += [
            cls
            for _, cls in inspect.getmembers(module, inspect.isclass)
            if cls.__module__ == module.__name__ and not getattr(cls, "_is_protocol", False)
        ]
    return found


def _modules_below(package: ModuleType) -> Iterator[ModuleType]:
    yield package
    for entry in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        yield importlib.import_module(entry.name)
