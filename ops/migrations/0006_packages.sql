-- Packages: content that is too large for a message. The message carries reference, size and digest.

-- A package whose put broke off has no finished_at: nobody can refer to it, and it expires first.
create table package (
    id           bigint generated always as identity primary key,
    sha256       bytea,
    bytes        bigint      not null default 0,
    content_type text        not null,
    name         text        not null,
    created_by   text        not null,
    created_at   timestamptz not null default now(),
    finished_at  timestamptz,
    -- last put, or last read for a message: what is in use does not expire under its reader
    used_at      timestamptz not null default now(),
    check ((finished_at is null) = (sha256 is null))
);

-- The same content is one package, however often it is put.
create unique index package_content on package (sha256) where finished_at is not null;

create table package_chunk (
    package_id bigint not null references package on delete cascade,
    n          int    not null,
    bytes      bytea  not null,
    primary key (package_id, n)
);

-- Packages are archives or come once: compressing them costs time and saves nothing.
alter table package_chunk alter column bytes set storage external;

-- Messages that refer to a package say so in their attributes; while one is in the log, it stays.
create index message_by_dataref on message ((attributes ->> 'dataref'))
    where attributes ? 'dataref';
