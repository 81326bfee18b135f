-- What people say of a question without deciding it. It stays with the question, in whatever form that
-- is asked by then.
create table task_comment (
    id           bigint      generated always as identity primary key,
    ledger_id    bigint      not null references ledger (id),
    identity     text        not null,
    by_whom      text        not null,
    principal_id bigint      not null references principal (id),
    said         text        not null,
    at           timestamptz not null default now()
);
create index task_comment_by_question on task_comment (ledger_id, identity, id);
