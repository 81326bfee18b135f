-- Documents found by what they are about: the open orders of an item. A row stays when its document is
-- not found any more, so that the sum of `changes` only grows: it is the version of the selection.
create table selected (
    name    text    not null,
    key     text    not null,
    is_in   boolean not null,
    changes int     not null default 1,
    primary key (name, key)
) with (fillfactor = 75);

create index selected_by_key on selected (key);

insert into selected (name, key, is_in)
select distinct 'open-orders/' || (line ->> 'item'), d.key, true
from document d
cross join lateral (select convert_from(d.body, 'UTF8')::jsonb as body) b
cross join lateral jsonb_array_elements(b.body -> 'lines') as line
where starts_with(d.key, 'purchase-order/')
  and coalesce(b.body ->> 'status', 'open') = 'open'
  and line ->> 'item' <> '';
