-- Code and rules by which a ledger was planned last, and those which ask whether they may plan it
-- otherwise; '' = not told apart, and nobody asks.
alter table ledger
    add column planner       text not null default '',
    add column asked_planner text not null default '';
