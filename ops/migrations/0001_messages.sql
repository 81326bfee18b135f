-- Messages: the log, the dedupe table, work that is not finished, and what is to be published.

create sequence message_seq;

-- Every message once, by day: arrivals as they came, events as they were emitted.
create table message (
    at             timestamptz not null default now(),
    seq            bigint      not null default nextval('message_seq'),
    direction      text        not null check (direction in ('in', 'out')),
    source         text        not null,
    id             text        not null,
    type           text        not null,
    key            text        not null,
    correlation_id text        not null,
    causation_id   text        not null,
    sequence       bigint,
    lane           text        not null,
    kind           text        not null,
    content_type   text        not null,
    message_id     text        not null,
    attributes     jsonb       not null,
    body           bytea       not null,
    primary key (at, seq)
) partition by range (at);

create index message_by_key on message (key, seq);
create index message_by_correlation on message (correlation_id, seq);
create index message_by_id on message (id);

-- The net under the daily partitions; a row in it is reported by doctor.
create table message_default partition of message default;

-- True afterwards: a partition exists for each day from today to today + days ahead.
create function ensure_message_partitions(days_ahead int) returns int language plpgsql as $$
declare
    first_day date := (now() at time zone 'UTC')::date;
    made int := 0;
    d date;
begin
    for d in select first_day + n from generate_series(0, days_ahead) n loop
        if to_regclass('message_' || to_char(d, 'YYYYMMDD')) is null then
            execute format(
                'create table %I partition of message for values from (%L) to (%L)',
                'message_' || to_char(d, 'YYYYMMDD'),
                d::timestamp at time zone 'UTC', (d + 1)::timestamp at time zone 'UTC');
            made := made + 1;
        end if;
    end loop;
    return made;
end $$;

select ensure_message_partitions(3);

-- Seen before: one row per logical consumer and message identity. Apart from the log, because a
-- unique key cannot span its partitions.
create table inbox (
    subscription text        not null,
    source       text        not null,
    id           text        not null,
    digest       bytea       not null,
    message_at   timestamptz not null,
    message_seq  bigint      not null,
    outcome      text        not null default 'applied',
    received_at  timestamptz not null default now(),
    primary key (subscription, source, id)
) with (fillfactor = 75);

-- How often the same message came again; counted apart from the row it repeats.
create table duplicate (
    subscription text        not null,
    source       text        not null,
    id           text        not null,
    at           timestamptz not null default now()
);

-- A business object with unfinished work: later messages of it wait behind.
create table hold (
    scope text        not null,
    key   text        not null,
    since timestamptz not null default now(),
    primary key (scope, key)
);

-- Unfinished work, processed by the same path as arrivals, oldest first within (scope, key).
create table pending (
    id           bigint generated always as identity primary key,
    subscription text        not null,
    scope        text        not null,
    key          text        not null,
    lane         text        not null,
    message_at   timestamptz not null,
    message_seq  bigint      not null,
    state        text        not null check (state in ('ready', 'retry', 'parked', 'in_case')),
    due_at       timestamptz not null default now(),
    attempts     int         not null default 0,
    reason       text        not null default '',
    merge_key    text,
    is_replan    boolean     not null default false,
    created_at   timestamptz not null default now(),
    foreign key (scope, key) references hold (scope, key)
) with (fillfactor = 75);

create index pending_by_key on pending (scope, key, id);
create index pending_due on pending (lane, due_at) where state in ('ready', 'retry');
-- One waiting decision per ledger is enough, however many facts arrive.
create unique index pending_merged on pending (merge_key) where merge_key is not null;

-- Deliveries that came back: how often they were begun and not finished.
create table delivery_attempt (
    fingerprint bytea       primary key,
    attempts    int         not null,
    last_at     timestamptz not null default now()
);

-- Events to publish; a row goes when the broker has confirmed it.
create table outbox (
    id          bigint generated always as identity primary key,
    key         text        not null,
    exchange    text        not null,
    routing_key text        not null,
    message_at  timestamptz not null,
    message_seq bigint      not null,
    created_at  timestamptz not null default now()
) with (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);

-- The last number given to an event of a business object.
create table object_sequence (
    key  text   primary key,
    last bigint not null
) with (fillfactor = 75);

-- Exceptions that need a person: what, where, whose turn, what to do.
create table exception_case (
    id          bigint generated always as identity primary key,
    code        text        not null,
    word        text        not null,
    what        text        not null,
    place       text        not null,
    remedy      text        not null,
    owner       text        not null,
    -- what opened it: a message that failed, a call that failed, or a plan that says so
    origin      text        not null default 'message'
                            check (origin in ('message', 'call', 'plan')),
    state       text        not null default 'open' check (state in ('open', 'resolved')),
    source      text        not null default '',
    key         text        not null default '',
    message_at  timestamptz,
    message_seq bigint,
    ledger_key  text        not null default '',
    opened_at   timestamptz not null default now(),
    seen        int         not null default 1,
    closed_at   timestamptz,
    closed_by   text        not null default ''
);

create unique index exception_case_open on exception_case (code, place) where state = 'open';

-- Append-only: what was decided about messages, documents, steps and cases, by whom.
create table audit (
    id             bigint generated always as identity primary key,
    at             timestamptz not null default now(),
    actor          text        not null,
    action         text        not null,
    subject        text        not null,
    correlation_id text        not null default '',
    detail         jsonb       not null
);

create index audit_by_subject on audit (subject, id);
