-- What somebody has to move: refused decisions, too.
drop index step_waiting_for_somebody;
create index step_waiting_for_somebody on step (id)
    where (kind = 'approval' and state in ('ready', 'failed')) or (kind = 'call' and state = 'failed');
