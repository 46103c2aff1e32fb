"""The chain's own word on one account: what it holds, what it sent, what that cost. Read from the contracts alone."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any

from web3.contract import AsyncContract

from basis_daemon.sandbox.chain.node import rpc
from basis_daemon.sandbox.chain.steering import WAD, Contracts

Json = dict[str, Any]
ETHER_DECIMALS = 18
STAKED = ("wstETH", "weETH")
_EXACT = Context(prec=110)


@dataclass(frozen=True, slots=True)
class Books:
    """Of one account. Balances go by the words of the daemon's position keys, whole units, without zeros."""

    contracts: Contracts
    account: str

    async def told(self) -> Json:
        """Everything at the head; transactions in the order of their nonces."""
        client = self.contracts.client
        block = await client.eth.get_block("latest")
        sent = [await self._transaction(nonce) for nonce in range(await self._nonce())]
        return {
            "account": self.account,
            "block": block["number"],
            "balances": {key: text for key, text in sorted((await self._balances()).items()) if text != "0"},
            "transactions": sent,
            "gas_eth": plain(sum((Decimal(row["gas_eth"]) for row in sent), Decimal(0))),
            **await self.lending(),
        }

    async def lending(self) -> Json:
        """What the lender says of the account's debt against its collateral; None without debt."""
        pool = self.contracts.at("PoolInstance", "aave_v3", "pool")
        collateral, debt, *_, wad = await pool.functions.getUserAccountData(self.account).call()
        if not debt:
            return {"health_factor": None, "loan_to_value": None}
        return {"health_factor": str(Decimal(wad) / WAD), "loan_to_value": str(Decimal(debt) / collateral)}

    async def _nonce(self) -> int:
        checked = self.contracts.client.to_checksum_address(self.account)
        return await self.contracts.client.eth.get_transaction_count(checked)

    async def _transaction(self, nonce: int) -> Json:
        client = self.contracts.client
        tx_hash = await rpc(client, "ots_getTransactionBySenderAndNonce", self.account, nonce)
        receipt = await client.eth.get_transaction_receipt(tx_hash)
        return {
            "hash": tx_hash,
            "nonce": nonce,
            "block": receipt["blockNumber"],
            "is_success": receipt["status"] == 1,
            "gas_used": receipt["gasUsed"],
            "gas_eth": whole(receipt["gasUsed"] * receipt["effectiveGasPrice"], ETHER_DECIMALS),
        }

    async def _balances(self) -> dict[str, str]:
        client, world = self.contracts.client, self.contracts.prepared.world
        ether = await client.eth.get_balance(client.to_checksum_address(self.account))
        found = {"wallet:token:ETH": whole(ether, ETHER_DECIMALS)}
        for symbol, entry in world["tokens"].items():
            key = f"wallet:{'lst' if symbol in STAKED else 'token'}:{symbol}"
            found[key] = await self._held(self.contracts.token(symbol), entry["decimals"])
        return found | await self._lent() | await self._claims_of_lido() | await self._claims_of_etherfi()

    async def _held(self, token: AsyncContract, decimals: int) -> str:
        return whole(await token.functions.balanceOf(self.account).call(), decimals)

    async def _lent(self) -> dict[str, str]:
        """Supplied and owed, reserve by reserve; those are the tokens that have a price feed."""
        data = self.contracts.at("AaveProtocolDataProvider", "aave_v3", "data_provider").functions
        tokens, found = self.contracts.prepared.world["tokens"], dict[str, str]()
        for symbol in self.contracts.prepared.world["feeds"]:
            row = await data.getUserReserveData(tokens[symbol]["address"], self.account).call()
            found[f"aave_v3:atoken:{symbol}"] = whole(row[0], tokens[symbol]["decimals"])
            found[f"aave_v3:vdebt:{symbol}"] = whole(row[2], tokens[symbol]["decimals"])
        return found

    async def _claims_of_lido(self) -> dict[str, str]:
        """Requests not paid out: at what was asked, once finalised at what they pay."""
        queue = self.contracts.at("WithdrawalQueue", "lido", "withdrawal_queue").functions
        ids = sorted(await queue.getWithdrawalRequests(self.account).call())
        found = {}
        for number, row in zip(ids, await queue.getWithdrawalStatus(ids).call(), strict=True):
            wei, is_final = row[0], row[4]
            if is_final:
                hints = await queue.findCheckpointHints([number], 1, await queue.getLastCheckpointIndex().call()).call()
                wei = (await queue.getClaimableEther([number], hints).call())[0]
            found[f"lido:claim:{number}"] = whole(wei, ETHER_DECIMALS)
        return found

    async def _claims_of_etherfi(self) -> dict[str, str]:
        """Requests that the account owns, at the lesser of what was asked and of what their shares are worth."""
        nft = self.contracts.at("WithdrawRequestNFT", "etherfi", "withdraw_request_nft").functions
        pool = self.contracts.at("LiquidityPool", "etherfi", "liquidity_pool").functions
        found = {}
        for number in await self._requests_at_etherfi():
            asked, shares, *_ = await nft.getRequest(number).call()
            found[f"etherfi:claim:{number}"] = whole(
                min(asked, await pool.amountForShare(shares).call()), ETHER_DECIMALS
            )
        return found

    async def _requests_at_etherfi(self) -> list[int]:
        """They cannot be listed by owner: those handed to the account and not handed back or burnt."""
        nft = self.contracts.at("WithdrawRequestNFT", "etherfi", "withdraw_request_nft")
        moves = await nft.events.Transfer().get_logs(from_block=0)
        owner = {move["args"]["tokenId"]: move["args"]["to"] for move in moves}
        return sorted(number for number, holder in owner.items() if holder == self.account)


def whole(units: int, decimals: int) -> str:
    """Base units as whole units: exact, without trailing zeros."""
    return plain(Decimal(units).scaleb(-decimals, _EXACT))


def plain(value: Decimal) -> str:
    """Without exponent and trailing zeros."""
    text = f"{value:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"
