-- Messages that cannot be replayed because the package they refer to is gone.
alter table replay add column content_gone bigint not null default 0;

-- When a lane of any process had a backlog of deliveries last: replays give way to it. Said only
-- while a replay runs.
alter table lane_work
    alter column at drop not null,
    add column backlog_at timestamptz;
