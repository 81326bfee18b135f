-- Lines of a work list that somebody chose to decide alike, as they were read; and what became of
-- each.

-- query: the filter that they were chosen by, as an address has it. lines: [{"step_id", "digest"}].
-- outcome: of each line, once it was decided; decided_at, choice and reason come with it.
create table chosen_lines (
    id           bigint      generated always as identity primary key,
    principal_id bigint      not null references principal (id),
    made_at      timestamptz not null default now(),
    query        text        not null,
    matched      int         not null,
    lines        jsonb       not null,
    decided_at   timestamptz,
    choice       text        not null default '',
    reason       text        not null default '',
    outcome      jsonb
);

create index chosen_lines_by_age on chosen_lines (made_at);
