-- How it comes that a step is late at due_at: due_s seconds after due_from, of the working time of a
-- calendar of the rules ('' = of any time). Null in steps of before, which have a moment only.
alter table step
    add column due_from timestamptz,
    add column due_s    int,
    add column calendar text not null default '';

-- Roles that a step has gone on to since it waits too long: they may decide it too, or have a case.
-- due_at: of the step, when it went on; put off by a plan since then, it has not gone on to anybody.
create table step_escalation (
    step_id bigint      not null references step (id),
    role    text        not null,
    level   int         not null,
    due_at  timestamptz not null,
    at      timestamptz not null default now(),
    primary key (step_id, role, due_at)
);

-- What somebody has to move: read every few seconds, however many steps there are.
create index step_waiting_for_somebody on step (id)
    where (kind = 'approval' and state = 'ready') or (kind = 'call' and state = 'failed');

-- How long steps of a kind took lately.
create index step_done on step (verb, system, changed_at) where state = 'done';

-- Who may sign a decision in whose place. withdrawn_at: since when not any more, as that one has
-- decided alone.
create table delegation (
    step_id      bigint      not null references step (id),
    from_whom    text        not null,
    to_whom      text        not null,
    principal_id bigint      not null references principal (id),
    reason       text        not null,
    at           timestamptz not null default now(),
    withdrawn_at timestamptz
);
create unique index delegation_in_force on delegation (step_id, from_whom) where withdrawn_at is null;

-- In whose place it was decided; '' = its own.
alter table decision add column in_place_of text not null default '';
