-- What a call found before it first wrote, so that it can be undone: the operation that puts that
-- back, or why none does. Neither is set where nothing is on record.
-- undoes: the step of the same identity that this one undoes; its operation is what that one wrote.
alter table step
    add column former     bytea,
    add column not_undone text not null default '',
    add column undoes     bigint;
