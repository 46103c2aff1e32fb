"""Both wallets of Binance keep the venue contract, on the wire of the sandbox exchange."""

from __future__ import annotations

import pytest

from basis_daemon.domain.instrument import PositionKey
from tests.venue_contract import VenueContract, VenueUnderTest
from tests.venues.rig import PERP_BTC, SPOT_BTC, AccountUnderTest, Rig

pytestmark = pytest.mark.slow


@pytest.mark.feature("Q04", part="sandbox")
class TestBinance(VenueContract):
    @pytest.fixture(params=[SPOT_BTC, PERP_BTC], ids=["spot", "perp"])
    def account(self, listening: Rig, request: pytest.FixtureRequest) -> VenueUnderTest:
        key: PositionKey = request.param
        return AccountUnderTest(listening, key)
