-- A moment at which the plan of an open step is made anew: the end of a wait for a time, or the
-- midnight at which another system takes over a plant; null = there is none.
alter table step add column wake_at timestamptz;
create index step_wake on step (wake_at) where wake_at is not null
    and state in ('waiting', 'held', 'ready', 'in_flight', 'in_doubt', 'failed');
