-- When a system is announced to be away: it is not called meanwhile.
create table outage (
    id        bigint generated always as identity primary key,
    system    text        not null,
    starts_at timestamptz not null,
    ends_at   timestamptz not null,
    reason    text        not null,
    by_whom   text        not null,
    at        timestamptz not null default now(),
    check (starts_at < ends_at)
);

create index outage_by_end on outage (ends_at);
