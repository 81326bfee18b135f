-- Facts on which more of a plan hangs than one step, with the versions it was made on: {"fact": version}.
alter table ledger add column watched jsonb not null default '{}';

-- Few ledgers watch anything: each of these is looked at.
create index ledger_watching on ledger (id) where state = 'open' and watched <> '{}';
