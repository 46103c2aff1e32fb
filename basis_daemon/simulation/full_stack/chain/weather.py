"""What the market of the oracle's chain does by itself: rates, freezes, a dry reserve, a lost peg, and gas."""

from __future__ import annotations

from enum import StrEnum

from basis_daemon.simulation.drill.chance import Chance, Fault
from basis_daemon.simulation.full_stack.chain.places import ATOKENS, CROWD
from basis_daemon.simulation.full_stack.chain.state import POOR_BPS, RICH_BPS, SOUND, State

GWEI = 10**9
CALM_GWEI, SPIKES_GWEI = 5, (35, 300)
"""What was offered before is too little; or more than may be paid at all."""
SPIKE_ENDS_ONE_IN, TURN_ONE_IN = 6, 4
UNSOUND = 97 * SOUND // 100
LENT = "USDT"


class Turn(StrEnum):
    """What a reserve may be."""

    POOR = "poor"
    FROZEN = "frozen"
    PAUSED = "paused"
    DRY = "dry"
    UNPEGGED = "unpegged"


class MarketWeather:
    """One seed's, from one block to the next; ``tip_wei`` is what was paid in the last ones."""

    def __init__(self, chance: Chance) -> None:
        self._chance = chance
        self._gas_gwei = CALM_GWEI
        self._turn: Turn | None = None
        self.tip_wei = GWEI // 10

    @property
    def base_fee_wei(self) -> int:
        """Of the next block."""
        return self._gas_gwei * GWEI

    def blow(self) -> None:
        """The weather of the next block."""
        does_turn = not self._chance.below(TURN_ONE_IN) and self._chance.is_on
        if self._chance.strikes(Fault.RATES_TURN) or does_turn:
            turns = tuple(Turn)
            self._turn = None if self._turn is not None else turns[self._chance.below(len(turns))]
        if self._gas_gwei == CALM_GWEI and self._chance.strikes(Fault.GAS_SPIKES):
            self._gas_gwei = SPIKES_GWEI[self._chance.below(len(SPIKES_GWEI))]
        elif not self._chance.below(SPIKE_ENDS_ONE_IN):
            self._gas_gwei = CALM_GWEI

    def calm(self) -> None:
        """It is worth lending again, and gas is cheap."""
        self._turn, self._gas_gwei = None, CALM_GWEI

    def rule(self, state: State, owner: str) -> None:
        """Bring it about in the ledger of a new block."""
        reserve, turn = state.accrue(LENT), self._turn
        reserve.slope_bps = POOR_BPS if turn is Turn.POOR else RICH_BPS
        reserve.is_frozen, reserve.is_paused = turn is Turn.FROZEN, turn is Turn.PAUSED
        reserve.price = UNSOUND if turn is Turn.UNPEGGED else SOUND
        idle, own = state.idle(LENT), state.claim(LENT, owner)
        wanted = own // 2 if turn is Turn.DRY and own else 6 * 10**12
        if wanted < idle:
            state.pay(LENT, ATOKENS[LENT], CROWD, idle - wanted)
            reserve.debt += idle - wanted
        elif turn is not Turn.DRY and reserve.debt > wanted - idle:
            state.pay(LENT, CROWD, ATOKENS[LENT], wanted - idle)
            reserve.debt -= wanted - idle
