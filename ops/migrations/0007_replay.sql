-- Replay: messages of the log on their way once more, on purpose.

-- One row per replay; its place in the log moves in the transaction that queues its messages.
create table replay (
    id         bigint generated always as identity primary key,
    mode       text             not null check (mode in ('redeliver', 'reprocess')),
    selection  jsonb            not null,
    state      text             not null default 'running'
               check (state in ('running', 'paused', 'cancelled', 'done', 'failed')),
    -- messages queued per second at most
    rate       double precision not null check (rate > 0),
    -- messages of the selection when it was started
    expected   bigint           not null,
    -- everything of the log up to here was looked at
    cursor_at  timestamptz      not null,
    cursor_seq bigint           not null,
    -- the last place that belongs to it, fixed when it was started
    end_at     timestamptz      not null,
    end_seq    bigint           not null,
    -- not before this time is the next slice due
    next_at    timestamptz      not null default now(),
    looked     bigint           not null default 0,
    queued     bigint           not null default 0,
    released   bigint           not null default 0,
    duplicates bigint           not null default 0,
    unfinished bigint           not null default 0,
    too_old    bigint           not null default 0,
    not_taken  bigint           not null default 0,
    removed    bigint           not null default 0,
    -- what keeps it from queueing its next slice; how it failed
    note       text             not null default '',
    created_by text             not null,
    reason     text             not null,
    created_at timestamptz      not null default now(),
    ended_at   timestamptz
);

create index replay_due on replay (next_at) where state = 'running';

-- replay_id: the replay that queued the row. generation: which decision of its message this is.
alter table pending
    add column replay_id  bigint,
    add column generation int not null default 1;

create index pending_by_replay on pending (replay_id) where replay_id is not null;

-- The last replay that took the message, and how often it was queued to be decided.
alter table inbox
    add column replay_id  bigint,
    add column generation int not null default 1;

create index inbox_by_replay on inbox (replay_id) where replay_id is not null;

-- What a message stored is looked up by its place; rows are appended in nearly that order.
create index document_version_by_message on document_version using brin (message_at)
    with (pages_per_range = 16, autosummarize = on);

-- The foreign message that a document goes back to: read better, it may correct what it said.
alter table document add column cause text not null default '';
