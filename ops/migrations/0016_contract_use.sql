-- Who sends by which contract: a few rows a day.
create table contract_use (
    source   text        not null,
    contract text        not null,
    day      date        not null,
    messages bigint      not null,
    first_at timestamptz not null,
    last_at  timestamptz not null,
    primary key (source, contract, day)
);
