-- Rings of a partitioned event: each has an exchange and queues of its own, in every lane.
-- planned: being declared, nothing comes yet. current: what is published goes there. draining: what
-- it holds is taken beside the current one. closing: empty, and nobody takes it any more. gone: its
-- queues are deleted.
create table ring (
    event text not null,
    number int not null check (number > 0),
    partitions int not null check (partitions between 1 and 64),
    state text not null default 'planned'
        check (state in ('planned', 'current', 'draining', 'closing', 'gone')),
    changed_at timestamptz not null default now(),
    primary key (event, number)
);
create unique index ring_current on ring (event) where state = 'current';

-- Processes that take partitions of a lane, as long as they say so.
create table replica (
    name text not null,
    lane text not null,
    seen_at timestamptz not null default now(),
    primary key (lane, name)
);

-- Whose turn it is to take the queue of a partition. fence: how often it changed hands.
create table partition_lease (
    queue text primary key,
    owner text not null,
    fence bigint not null default 1,
    until timestamptz not null
);
