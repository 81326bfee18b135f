-- A question that makes sense only before the steps that wait for it: it ends with them.
alter table step add column lapses boolean not null default false;
