-- How it comes that a step is late at due_at: due_s seconds after due_from, of the working time of a
-- calendar of the rules ('' = of any time). Null in steps of before, which have a moment only.
alter table step
    add column due_from timestamptz,
    add column due_s    int,
    add column calendar text not null default '';
