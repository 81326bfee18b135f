-- Facts on which more of a plan hangs than one step, in the versions it was made on: a newer one makes
-- it anew while its ledger is open. A document is held when the plan is stored, so that nothing is missed.
create table watch (
    ledger_id bigint not null references ledger (id),
    fact      text   not null,
    seen      bigint not null,
    primary key (ledger_id, fact)
) with (fillfactor = 75, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);

create index watch_by_fact on watch (fact);

-- The same of what cannot be held: selections, and documents that nobody has stated yet. They are swept, and
-- stand by themselves so that the sweep reads nothing else.
create table swept_watch (like watch including all);
alter table swept_watch add foreign key (ledger_id) references ledger (id);

-- Correlation id of what a plan follows from; kinds of documents that make it anew, whatever stands in it,
-- where they follow from the same.
alter table ledger
    add column story text   not null default '',
    add column along text[] not null default '{}';

create index ledger_story on ledger (story) where along <> '{}';
