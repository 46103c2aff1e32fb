"""The wallet of a daemon: its chain, its signer, and its transactions in the daemon's own journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import orjson
from eth_utils.address import to_checksum_address
from pydantic import SecretStr

from basis_daemon.domain.check import Check, green, red, yellow
from basis_daemon.domain.errors import ConfigError, VenueUnreachableError
from basis_daemon.engine.position_update_handler import Alarm
from basis_daemon.engine.recorder import Recorder
from basis_daemon.ports import Clock, Feed, Journal, Probe, TaskScope, TradeSink
from basis_daemon.settings import Mode, Settings
from basis_daemon.settings.chain import ChainSettings
from basis_daemon.strategies.charter import BookStrategy
from basis_daemon.venues.cex.lease import AccountLease
from basis_daemon.venues.chain.account import AccountPolicy
from basis_daemon.venues.chain.addresses import AddressBook, sandbox_book, shipped
from basis_daemon.venues.chain.arrivals import WalletEnd
from basis_daemon.venues.chain.chain_execution import GasCaps
from basis_daemon.venues.chain.endpoint import EndpointOptions, newest_header
from basis_daemon.venues.chain.rpc import PoolPolicy
from basis_daemon.venues.chain.signers import KeySigner, Signer
from basis_daemon.venues.chain.tokens import ETH
from basis_daemon.venues.chain.tracker import TrackPolicy
from basis_daemon.venues.chain.venue import Chain, ChainOptions, ChainWallet, Surroundings
from basis_daemon.venues.chain.wallet_reads import read_wallet
from basis_daemon.wiring_book import Routes, Venue
from basis_daemon.wiring_transactions import BookedTrades, TransactionJournal
from basis_daemon.wiring_venues import note_to

SANDBOX_CONFIRMATIONS = 2
GAS_MIN_ETH = Decimal("0.02")
HEAD_AGE_MAX_S = 120


@dataclass(frozen=True, slots=True)
class SandboxChainReady:
    """What a sandbox chain says of itself when it answers."""

    rpc_url: str
    ws_url: str
    user: str
    world_file: Path
    user_key_file: Path

    @classmethod
    def read(cls, path: Path | None) -> SandboxChainReady:
        """Raises ConfigError naming the file and the command that writes it."""
        if path is None:
            raise ConfigError("sandbox.chain_ready_file: found nothing, expected the ready file of a sandbox chain")
        try:
            told = orjson.loads(path.read_bytes())
            files = [path.parent / Path(told[name]).name for name in ("world_file", "user_key_file")]
            return cls(told["rpc_url"], told["ws_url"], told["user"], *files)
        except (OSError, ValueError, KeyError) as error:
            raise ConfigError(
                f"sandbox.chain_ready_file {path}: {error}; start `basis-daemon sandbox chain` first"
            ) from error


async def open_chain(settings: Settings, clock: Clock, scope: TaskScope, alarm: Alarm) -> Chain | None:
    """The chain that the file tells of, confirmed; None without one. Raises ConfigError, VenueUnreachableError."""
    chain = settings.enabled_chain
    return None if chain is None else await Chain.open(_options(settings, chain), clock, scope, note_to(alarm))


async def open_signer(settings: Settings, chain: ChainSettings) -> Signer:
    """Who signs for the wallet. Raises ConfigError."""
    if settings.mode is Mode.SANDBOX and chain.key is None:
        file = SandboxChainReady.read(settings.sandbox.chain_ready_file).user_key_file
        return KeySigner(SecretStr(file.read_text(encoding="utf-8").strip()))
    if chain.key is not None:
        return KeySigner(chain.key)
    if chain.keystore_file is not None and chain.password is not None:
        return await KeySigner.from_keystore(chain.keystore_file, chain.password)
    raise ConfigError("chain: found neither key_file nor keystore_file with password_file, expected one of the two")


def wallet_address(settings: Settings) -> str | None:
    """Whose wallet the file tells of; None without a chain. Raises ConfigError for a key or a file that is none."""
    chain = settings.enabled_chain
    if chain is None:
        return None
    if settings.mode is Mode.SANDBOX and chain.key is None:
        return SandboxChainReady.read(settings.sandbox.chain_ready_file).user
    if chain.key is not None:
        return KeySigner(chain.key).address
    if chain.keystore_file is None:
        raise ConfigError("chain: found neither key_file nor keystore_file, expected one of the two")
    try:
        told = orjson.loads(chain.keystore_file.read_bytes())["address"]
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"chain.keystore_file {chain.keystore_file}: no address in it: {error}") from None
    return to_checksum_address(told)


def wallet_leases(settings: Settings) -> list[AccountLease]:
    """What this process must hold before it signs for the wallet."""
    address = wallet_address(settings)
    if address is None or settings.enabled_chain is None:
        return []
    is_sandbox = settings.mode is Mode.SANDBOX
    ready = SandboxChainReady.read(settings.sandbox.chain_ready_file) if is_sandbox else None
    where = settings.enabled_chain.network if ready is None else ready.rpc_url
    return [AccountLease("wallet", "chain", where, address)]


async def examine_chain(settings: Settings, clock: Clock, scope: TaskScope) -> list[Check]:
    """The preflight lines of the wallet, over connections of their own; nothing without a chain."""
    if settings.enabled_chain is None:
        return []
    reach = ("an endpoint that answers", "see whether its URL and key are right")
    try:
        purse = await open_purse(settings, clock, scope, tell_nobody)
        return [] if purse is None else await _lines_of(purse)
    except ConfigError as error:
        return [red("chain.addresses", str(error), "the chain and the contracts of the address book", "correct chain")]
    except VenueUnreachableError as error:
        return [red("chain.reach", str(error), *reach)]


async def _lines_of(purse: Purse) -> list[Check]:
    chain, address = purse.chain, purse.signer.address
    try:
        newest = await chain.rpc.ask("newest block", newest_header)
        held = await read_wallet(chain.rpc, newest.block, chain.book, address)
    finally:
        await chain.rpc.close()
    found = [green("chain.reach", f"block {newest.block.number} of chain {chain.book.chain_id}")]
    found.append(green("chain.addresses", f"{len(chain.book.tokens)} tokens and every contract as in the book"))
    gas = f"{held[ETH]} ETH at {address}"
    if held[ETH] >= GAS_MIN_ETH:
        return [*found, green("chain.gas", gas)]
    remedy = "send ether to the wallet: nothing moves without gas"
    return [*found, yellow("chain.gas", gas, f"{GAS_MIN_ETH} ETH or more", remedy)]


def tell_nobody(what: str, facts: Mapping[str, str]) -> None:
    """The lines say it."""


@dataclass(frozen=True, slots=True)
class Purse:
    """An open chain and the signer of the wallet on it."""

    chain: Chain
    signer: Signer


async def open_purse(settings: Settings, clock: Clock, scope: TaskScope, alarm: Alarm) -> Purse | None:
    """Chain and signer, or None where the file tells of no chain."""
    chain = await open_chain(settings, clock, scope, alarm)
    if chain is None or settings.enabled_chain is None:
        return None
    return Purse(chain, await open_signer(settings, settings.enabled_chain))


def chain_venue(
    purse: Purse,
    strategies: Sequence[BookStrategy],
    recorder: Recorder,
    journal: Journal,
    clock: Clock,
    scope: TaskScope,
    alarm: Alarm,
    probe: Probe,
) -> Venue:
    """The wallet as the engine needs it."""
    transactions = TransactionJournal(recorder, journal)
    around = surroundings(recorder, journal, transactions, clock, scope, alarm, probe)
    keys = {key for strategy in strategies for key in strategy.declared_keys}
    wallet = ChainWallet(purse.chain, purse.signer, keys, around)

    def routes(on_trade: TradeSink) -> Routes:
        return [(interface.account, interface) for interface in wallet.interfaces(on_trade)]

    def feed(_: TaskScope) -> Feed:
        return wallet.feed()

    return Venue(
        wallet.sources, routes, feed, dict, groups=wallet.groups(), chain=purse.chain.book.network,
        needed_from=transactions.needed_from,
        wallet=WalletEnd(purse.chain.rpc, purse.chain.book, purse.signer.address, wallet.account.signed_for),
    )  # fmt: skip


def surroundings(
    recorder: Recorder,
    journal: Journal,
    transactions: TransactionJournal,
    clock: Clock,
    scope: TaskScope,
    alarm: Alarm,
    probe: Probe,
) -> Surroundings:
    """What a wallet needs of the daemon around it, over this journal."""
    return Surroundings(
        clock=clock,
        scope=scope,
        note=note_to(alarm),
        probe=probe,
        journal=transactions,
        recall=BookedTrades(journal),
        booked=recorder.state.ledger.holdings,
        has_booked=recorder.state.ledger.has,
    )


def _options(settings: Settings, chain: ChainSettings) -> ChainOptions:
    gas = GasCaps(int(chain.gas_cap_gwei), int(chain.emergency_gas_cap_gwei))
    if settings.mode is Mode.SANDBOX:
        ready = SandboxChainReady.read(settings.sandbox.chain_ready_file)
        endpoint = EndpointOptions("sandbox", SecretStr(ready.rpc_url), SecretStr(ready.ws_url))
        track = TrackPolicy(confirmations=SANDBOX_CONFIRMATIONS, replace_after=chain.stuck_blocks)
        book = _with_recipients(sandbox_book(ready.world_file), settings, chain)
        return ChainOptions([endpoint], book, book.genesis_hash or "", PoolPolicy(), AccountPolicy(track=track), gas)
    book = _with_recipients(shipped(chain.network), settings, chain)
    track = TrackPolicy(confirmations=chain.confirmations, replace_after=chain.stuck_blocks)
    return ChainOptions(
        _endpoints(chain), book, book.genesis_hash or "", PoolPolicy(head_age_max_s=HEAD_AGE_MAX_S),
        AccountPolicy(track=track), gas,
    )  # fmt: skip


def _endpoints(chain: ChainSettings) -> list[EndpointOptions]:
    named = (("rpc", chain.rpc, False), ("rpc_second", chain.rpc_second, False), ("relay", chain.relay, True))
    return [EndpointOptions(name, url, is_private=hides) for name, url, hides in named if url is not None]


def _with_recipients(book: AddressBook, settings: Settings, chain: ChainSettings) -> AddressBook:
    """The book with those whom the operator pays, and the exchange accounts that stay ours."""
    entries = {name: {"address": address, "is_ours": False} for name, address in chain.recipients.items()}
    if (transfers := settings.enabled_transfers) is not None:
        for name, venue in transfers.venues.items():
            account = settings.venues[name].accounts.spot
            entries[account] = {"address": venue.deposit_address, "is_ours": True}
    return AddressBook.model_validate({**book.model_dump(), "recipients": entries})
