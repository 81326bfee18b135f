-- The outbox: state per row, so that the process that emitted an event publishes it from memory and
-- the sweeper takes what is left, in order per key between the two.

alter table outbox
    -- Before this time the row belongs to somebody: to the process that committed it, or, once the
    -- broker has refused it, to nobody until its next try.
    add column sweep_at   timestamptz not null default now(),
    add column body_bytes int         not null default 0,
    -- How often the broker refused it, since when, and with which word.
    add column refusals   int         not null default 0,
    add column refused_at timestamptz,
    add column refusal    text        not null default '';

create index outbox_by_key on outbox (key, id);
create index outbox_due on outbox (sweep_at);
create index outbox_refused on outbox (routing_key) where refusals > 0;
