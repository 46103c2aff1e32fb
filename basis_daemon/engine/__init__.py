"""From an event to reconciled positions: delivery, decision, execution, and what it changed."""
