"""What is true of orders, trades, money and risk, with pencil only: no I/O, no clock, no logging, no floats."""
