"""A live-trading daemon: a market event goes in, reconciled positions come out.

Importing the package sets the decimal precision of the process, because sums of money must be exact. Python's default
of 28 digits is too few: a Wei amount (18 decimals) times a price (8 to 18 decimals) of a large book needs more than 40
significant digits, and a sum rounded once can never again reconcile to zero. 50 digits leave room for every product of
a quantity and a price. `DefaultContext` covers threads that start later, `setcontext` the thread that imports.
"""

import decimal

__version__ = "0.1.0"

DECIMAL_PRECISION = 50

decimal.DefaultContext.prec = DECIMAL_PRECISION
decimal.setcontext(decimal.Context(prec=DECIMAL_PRECISION))
