-- Order over queues and lanes: how far each flow has come with a business object, and what may pass.

-- One row per flow and business object, locked first by whoever decides a message of it.
create table flow_order (
    scope   text   not null,
    key     text   not null,
    -- every event of ours about the object up to this number was taken by the flow
    done    bigint not null default 0,
    -- what `done` was when the row was last locked
    before  bigint not null default 0,
    -- the highest business version taken by handlers of whose messages the latest wins
    newest  bigint,
    primary key (scope, key)
) with (fillfactor = 75, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);

-- Events a flow has missed are read by their number.
create index message_by_sequence on message (key, sequence) where direction = 'out';

-- version: business version of a message that states the whole object. passes: what such a message
-- need not wait for, as long as all of it is older. failing_since: when its first try failed.
-- begun: how many processes have begun this try, the last one being begun_by; what another process
-- began a moment ago is left to it, what it began and did not end may have killed it.
alter table pending
    add column version       bigint,
    add column passes        text not null default '' check (passes in ('', 'cases', 'all')),
    add column failing_since timestamptz,
    add column begun         int    not null default 0,
    add column begun_by      text   not null default '',
    add column begun_at      timestamptz;

create index pending_passing on pending (lane, due_at)
    where passes <> '' and state in ('parked', 'retry');
create index exception_case_by_message on exception_case (message_at, message_seq)
    where state = 'open';
