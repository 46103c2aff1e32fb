"""Whole systems, driven: sandbox exchange and daemon as separate processes, played through days of market time.

`play` runs them and judges the outcome against the venue's own books; `report` draws what happened.
"""
