-- What was taken of quotas of a system, in buckets of a twentieth of their length (broker/quota.py).
-- One row a system is locked by whoever takes: last_s is the latest time it was taken at, so that a
-- clock that is put back takes nothing back.
create table quota_gate (
    system text             primary key,
    last_s double precision not null default 0
) with (fillfactor = 50);

create table quota_taken (
    system text             not null,
    api    text             not null,
    per_s  double precision not null,
    bucket bigint           not null,
    taken  int              not null,
    primary key (system, api, per_s, bucket)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);

-- Systems that are not called for a while, or by some lanes, and why; a cause is the one thing that
-- takes it back, or goes on.
create table closure (
    system   text        not null,
    cause    text        not null,
    lower    boolean     not null default false,
    until    timestamptz not null,
    why      text        not null,
    since    timestamptz not null default now(),
    times    int         not null default 1,
    proven   int         not null default 0,
    primary key (system, cause)
) with (fillfactor = 50);
