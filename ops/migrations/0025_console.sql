-- Who has signed in to the console, and what was done by which form.

-- hash: SHA-256 of the session's 32 random bytes, which stand nowhere but in the browser. It ends
-- with the token it was begun by, whatever ends_at says.
create table console_session (
    hash       bytea       primary key check (octet_length(hash) = 32),
    token_id   bigint      not null references api_token (id),
    created_at timestamptz not null default now(),
    used_at    timestamptz not null default now(),
    ends_at    timestamptz not null
) with (fillfactor = 75);

create index console_session_by_end on console_session (ends_at);

-- A form that was sent and did something: sent again it does nothing. said: what it came to.
create table console_form (
    session bytea       not null references console_session (hash) on delete cascade,
    key     text        not null,
    said    text        not null,
    done_at timestamptz not null default now(),
    primary key (session, key)
);
