-- What subscribers were last told of how a change gets on; '' = nothing.
alter table ledger add column told text not null default '';
