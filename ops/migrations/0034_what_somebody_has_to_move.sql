-- What somebody has to move: refused decisions, too.
drop index step_waiting_for_somebody;
create index step_waiting_for_somebody on step (id)
    where (kind = 'approval' and state in ('ready', 'failed')) or (kind = 'call' and state = 'failed');

-- Roles that a hold, or the pause of a change, has gone on to since it stands for too long. subject:
-- "hold 7", or the key of the ledger; since: when it was placed.
create table standstill_escalation (
    subject text        not null,
    since   timestamptz not null,
    role    text        not null,
    level   int         not null,
    due_at  timestamptz not null,
    at      timestamptz not null default now(),
    primary key (subject, since, role)
);
-- By state, of which a plan that is kept from young tables thinks that it leaves few.
create index ledger_paused on ledger (state) where paused_at is not null;
