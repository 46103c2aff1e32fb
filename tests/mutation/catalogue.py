"""Every planted bug."""

from __future__ import annotations

from tests.mutation.books import BOOKS
from tests.mutation.chain import CHAIN
from tests.mutation.latches import LATCHES
from tests.mutation.orders import ORDERS
from tests.mutation.planted import Bug
from tests.mutation.transfers import TRANSFERS
from tests.mutation.venues import VENUES

PLANTED: tuple[Bug, ...] = (*ORDERS, *BOOKS, *LATCHES, *CHAIN, *TRANSFERS, *VENUES)
