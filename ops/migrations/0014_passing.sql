-- What a person tries again, or a replay brings, may pass what is before it too.
drop index pending_passing;
create index pending_passing on pending (lane, due_at)
    where passes <> '' and state in ('parked', 'ready', 'retry');
