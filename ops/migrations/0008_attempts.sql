-- A delivery that came back is counted once per process, however often its count had to be said.
alter table delivery_attempt add column worker text not null default '';
