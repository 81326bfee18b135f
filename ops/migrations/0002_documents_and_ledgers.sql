-- What is known (documents) and what must become true (ledgers of steps).

create table document (
    key         text        primary key,
    row_version int         not null,
    version     bigint      not null,
    stated      bigint      not null,
    digest      bytea       not null,
    body        bytea       not null,
    source      text        not null,
    message_at  timestamptz not null,
    message_seq bigint      not null,
    updated_at  timestamptz not null default now()
) with (fillfactor = 75);

-- Every version a document had; a document is its own audit record.
create table document_version (
    key         text        not null,
    row_version int         not null,
    version     bigint      not null,
    stated      bigint      not null,
    digest      bytea       not null,
    body        bytea       not null,
    source      text        not null,
    message_at  timestamptz not null,
    message_seq bigint      not null,
    stored_at   timestamptz not null default now(),
    primary key (key, row_version)
);

-- One business transaction, e.g. one engineering change.
create table ledger (
    id             bigint generated always as identity primary key,
    key            text        not null unique,
    title          text        not null,
    version        bigint      not null,
    state          text        not null default 'open' check (state in ('open', 'complete')),
    subscription   text        not null,
    scope          text        not null,
    lane           text        not null,
    source         text        not null,
    correlation_id text        not null,
    findings       jsonb       not null default '[]',
    message_at     timestamptz not null,
    message_seq    bigint      not null,
    opened_at      timestamptz not null default now(),
    planned_at     timestamptz not null default now(),
    completed_at   timestamptz
) with (fillfactor = 75);

-- An object at a target system; one call at a time to each.
create table target (
    id          bigint generated always as identity primary key,
    system      text        not null,
    object_kind text        not null,
    object_id   text        not null,
    plant       text        not null,
    lease_until timestamptz,
    fence       bigint      not null default 0,
    unique (system, object_kind, object_id, plant)
) with (fillfactor = 75);

create index target_leased on target (lease_until) where lease_until is not null;

create table step (
    id              bigint generated always as identity primary key,
    ledger_id       bigint      not null references ledger (id),
    identity        text        not null,
    generation      int         not null,
    kind            text        not null check (kind in ('call', 'approval', 'wait', 'announce')),
    plant           text        not null,
    system          text        not null,
    object_kind     text        not null,
    object_id       text        not null,
    verb            text        not null,
    operation       bytea       not null,
    digest          bytea       not null,
    idempotency_key text        not null,
    depends_on      text[]      not null,
    fact            text,
    seen            int,
    state           text        not null check (state in (
                        'waiting', 'held', 'ready', 'in_flight', 'in_doubt',
                        'done', 'failed', 'cancelled', 'superseded')),
    version         int         not null default 1,
    withdrawn       boolean     not null default false,
    target_id       bigint      references target (id),
    lane            text        not null,
    owner           text        not null,
    reason          text        not null default '',
    reference       text        not null default '',
    attempts        int         not null default 0,
    next_at         timestamptz not null default now(),
    due_at          timestamptz not null,
    created_at      timestamptz not null default now(),
    changed_at      timestamptz not null default now(),
    unique (ledger_id, identity, generation)
) with (fillfactor = 75);

create index step_to_do on step (target_id, id) where state in ('ready', 'in_doubt') and kind = 'call';
create index step_in_flight on step (target_id) where state = 'in_flight';
create index step_by_object on step (object_id);
create index step_waiting_for on step (fact) where fact is not null and state in ('waiting', 'ready');
create index step_approvals on step (ledger_id) where kind = 'approval' and state = 'ready';

-- Every transition of every step.
create table step_event (
    step_id bigint      not null,
    at      timestamptz not null default clock_timestamp(),
    state   text        not null,
    note    text        not null default ''
);

create index step_event_by_step on step_event (step_id, at);

-- Every try of a call: what was sent, what came back.
create table attempt (
    step_id    bigint      not null,
    number     int         not null,
    started_at timestamptz not null,
    ended_at   timestamptz not null,
    calls      jsonb       not null,
    outcome    text        not null,
    note       text        not null default ''
);

create index attempt_by_step on attempt (step_id, number);

-- Decisions of people, with the content that was on the screen.
create table decision (
    id      bigint generated always as identity primary key,
    step_id bigint      not null references step (id),
    digest  bytea       not null,
    verdict text        not null check (verdict in ('approved', 'rejected')),
    by_whom text        not null,
    reason  text        not null,
    at      timestamptz not null default now()
);
