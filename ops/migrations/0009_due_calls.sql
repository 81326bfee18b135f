-- A lane looks at its own due calls, in the order in which they became due, however many wait in
-- other lanes.
create index step_due on step (lane, next_at, id)
    where state in ('ready', 'in_doubt') and kind = 'call';
