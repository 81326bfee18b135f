-- How far a case was told to those who subscribe: 0 = not, 1 = that it was opened, 2 = that it was
-- resolved. Cases that were there before are told of once they are still open.
alter table exception_case add column told smallint not null default 0
    check (told between 0 and 2);
create index exception_case_untold on exception_case (id)
    where (state = 'open' and told = 0) or (state = 'resolved' and told = 1);

-- What was told once and is not told again: "contract.expiring" by contract and last day.
create table told_once (
    key     text        not null,
    what    text        not null,
    told_at timestamptz not null default now(),
    primary key (key, what)
);
