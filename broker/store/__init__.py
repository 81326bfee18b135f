"""All SQL of the runtime, each statement beside the function that binds it.

Set-based: one statement per table and batch, rows sorted by key. Statements that join their batch
do so through `unnest`, so that a plan made on a young table stays good.
Tables are touched in this order: flow_order, inbox, hold, pending, document, selected,
object_sequence, message, outbox, ledger, step, target, exception_case, audit. Some things come
late: what a step announces, and that a call ended, is emitted under its ledger; the documents that
a plan watches are held for as short as can be; and what a new fact wakes is pending last of all.
Where two transactions wait for each other over these, PostgreSQL ends one
of them, and it is decided again. Who acts is read by itself, from api_token and principal, before
them.
"""

from broker.store.connection import Database, Position, Tx

__all__ = ["Database", "Position", "Tx"]
