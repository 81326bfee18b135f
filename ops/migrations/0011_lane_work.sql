-- When the critical lane of any process had work last: lower lanes give way to it.
create table lane_work (
    lane text primary key,
    at timestamptz not null
);
