"""All SQL of the runtime, each statement beside the function that binds it.

Set-based: one statement per table and batch, rows sorted by key. Statements that join their batch
do so through `unnest`, so that a plan made on a young table stays good.
Tables are always touched in this order: inbox, hold, pending, document, object_sequence, message,
outbox, ledger, step, target, exception_case, audit.
"""

from broker.store.connection import Database, Position, Tx

__all__ = ["Database", "Position", "Tx"]
