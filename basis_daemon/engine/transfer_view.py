"""What an operator asks about transfers between venues. A pure function of a `BookView`."""

from __future__ import annotations

from basis_daemon.domain.transfer import ApprovalRow, TransferRow, TransferStep
from basis_daemon.engine.book_view import BookView, Json, plain


def transfers(view: BookView) -> Json:
    """Transfers by their start and approvals by their word, oldest first; times are of the wall clock."""
    rows = sorted(view.state.transfers.values(), key=lambda row: row.at)
    spent = {row.approval: row.order_id for row in rows if row.approval and row.step is not TransferStep.FAILED}
    approvals = sorted(view.state.approvals.values(), key=lambda row: row.at)
    return {
        "transfers": [transfer_row(row) for row in rows],
        "approvals": [approval_row(row) | {"spent_on": spent.get(row.approval_id)} for row in approvals],
    }


def transfer_row(row: TransferRow) -> Json:
    """One transfer; ``amount`` left, ``fee`` of it stayed on the way."""
    return {
        "order_id": row.order_id,
        "source": row.source,
        "target": row.target,
        "coin": row.coin,
        "amount": plain(row.amount),
        "fee": plain(row.fee),
        "step": row.step.value,
        "at": row.at.isoformat(),
        "venue_id": row.venue_id,
        "tx_id": row.tx_id,
        "approval": row.approval,
        "why": row.why,
    }


def approval_row(row: ApprovalRow) -> Json:
    """A person's word, and until when it holds."""
    return {
        "id": row.approval_id,
        "source": row.source,
        "target": row.target,
        "coin": row.coin,
        "up_to": plain(row.up_to),
        "at": row.at.isoformat(),
        "until": row.until.isoformat(),
        "why": row.why,
    }
