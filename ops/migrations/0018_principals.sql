-- Who acts, and by which tokens; and the audit only grows.

create table principal (
    id          bigint generated always as identity primary key,
    name        text        not null unique,
    kind        text        not null check (kind in ('person', 'service')),
    roles       text[]      not null,
    -- codes of plants; {*} = all of them
    plants      text[]      not null,
    created_at  timestamptz not null default now(),
    created_by  text        not null,
    disabled_at timestamptz
);

-- hash: SHA-256 of the token's 32 random bytes. The token stands nowhere: nobody can act by what
-- they read here.
create table api_token (
    id           bigint generated always as identity primary key,
    principal_id bigint      not null references principal (id),
    label        text        not null,
    hash         bytea       not null unique check (octet_length(hash) = 32),
    created_at   timestamptz not null default now(),
    created_by   text        not null,
    expires_at   timestamptz not null,
    last_used_at timestamptz,
    revoked_at   timestamptz
);

create index api_token_by_principal on api_token (principal_id);

-- Null: decided before there were principals, by_whom as somebody typed it.
alter table decision add column principal_id bigint references principal (id);
create index decision_by_step on decision (step_id, id);

-- What an act found and what it left, where that can be said; null where nobody said it.
alter table audit add column before jsonb, add column after jsonb;

create function refuse_change_of_audit() returns trigger language plpgsql as $$
begin
    raise exception 'the audit is append-only: % is refused', tg_op
        using errcode = 'insufficient_privilege',
              hint = 'Write one more row that says what is right.';
end $$;

create trigger audit_append_only before update or delete or truncate on audit
    for each statement execute function refuse_change_of_audit();
