"""What all controls of the sandbox chain share: the contracts by name, and an operator who owns them."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from eth_typing import ChecksumAddress
from web3.contract import AsyncContract
from web3.contract.async_contract import AsyncContractFunction

from basis_daemon.sandbox.chain.node import Deployer, Web3
from basis_daemon.sandbox.chain.world import Prepared

WAD, RAY = 10**18, 10**27
ISSUERS = {"wstETH": "lido", "weETH": "etherfi"}


@dataclass(frozen=True, slots=True)
class Contracts:
    """The world's contracts, ready to be asked."""

    client: Web3
    prepared: Prepared
    _made: dict[tuple[str, str], AsyncContract] = field(default_factory=dict)

    def named(self, abi: str, address: str) -> AsyncContract:
        """Made once each: that takes web3 ten milliseconds and more."""
        if (abi, address) not in self._made:
            checked = self.client.to_checksum_address(address)
            self._made[abi, address] = self.client.eth.contract(address=checked, abi=self.prepared.abis[abi])
        return self._made[abi, address]

    def token(self, symbol: str) -> AsyncContract:
        abi = {"USDT": "Usdt", "WETH": "WETH9", "stETH": "StEth", "eETH": "EEth"}.get(symbol, "MintableToken")
        return self.named(abi, self.prepared.world["tokens"][symbol]["address"])

    def at(self, abi: str, *path: str) -> AsyncContract:
        found: Any = self.prepared.world
        for key in path:
            found = found[key]
        return self.named(abi, str(found))


class Steering:
    """One running world and its operator; every control returns when what it says has happened.

    ``ValueError`` is for what cannot happen, and names what can.
    """

    def __init__(self, client: Web3, prepared: Prepared, owner: ChecksumAddress) -> None:
        self.client, self.world = client, prepared.world
        self.contracts = Contracts(client, prepared)
        self._operator = Deployer(client, owner)
        self.claims: dict[str, dict[str, Any]] = {}
        """The newest reward claim of every account that has earned something."""

    async def act(self, call: AsyncContractFunction, *, value: int = 0, sender: ChecksumAddress | None = None) -> None:
        """Send a contract call as the owner of the world, or as another account of the node.

        Raises `ChainError` with the reason when it reverts.
        """
        await self._operator.send(call, value=value, sender=sender)

    def _priced(self, asset: str) -> str:
        """The symbol of a reserve, which has a feed too; ETH means WETH."""
        symbol = "WETH" if asset == "ETH" else asset
        if symbol not in self.world["feeds"]:
            raise ValueError(f"asset: one of {', '.join(self.world['feeds'])}, found {asset!r}")
        return symbol

    async def rate_wad(self, protocol: str) -> int:
        """Wei of ether that the issuer pays per whole staking token."""
        if protocol == "lido":
            return int(await self.contracts.at("WstEth", "lido", "wsteth").functions.stEthPerToken().call())
        return int(await self.contracts.at("WeEth", "etherfi", "weeth").functions.getRate().call())


def base_units(amount: Decimal | int, decimals: int) -> int:
    return int(Decimal(amount) * Decimal(10) ** decimals)
