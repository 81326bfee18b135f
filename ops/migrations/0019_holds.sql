-- Outbound effects that people have stopped: of a system, in a plant, or of a flow (what stands before
-- "/" in the keys of its ledgers). In force until it is released.
create table outbound_hold (
    id             bigint generated always as identity primary key,
    kind           text        not null check (kind in ('system', 'plant', 'flow')),
    value          text        not null,
    reason         text        not null,
    by_whom        text        not null,
    at             timestamptz not null default now(),
    released_at    timestamptz,
    released_by    text        not null default '',
    release_reason text        not null default '',
    check ((released_at is null) = (released_by = ''))
);
create unique index outbound_hold_in_force on outbound_hold (kind, value) where released_at is null;

-- The holds in force, to which nobody adds before this transaction has ended; not is_known where
-- somebody is about to. A function, since what it reads must be newer than its lock, and a claim
-- should pay one round trip for both.
create function holds_in_force(
    claims_lock bigint,
    out is_known boolean, out systems text[], out plants text[], out flows text[]
) language plpgsql as $$
begin
    is_known := pg_try_advisory_xact_lock_shared(claims_lock);
    if is_known then
        select coalesce(array_agg(h.value) filter (where h.kind = 'system'), '{}'),
               coalesce(array_agg(h.value) filter (where h.kind = 'plant'), '{}'),
               coalesce(array_agg(h.value) filter (where h.kind = 'flow'), '{}')
        into systems, plants, flows
        from outbound_hold h where h.released_at is null;
    end if;
end $$;

-- What a hold is told by, at the step itself: a claim passes over what is held without reading it.
-- only_asks: a call that reads and writes nothing, which no hold stops.
alter table step
    add column flow      text    not null default '',
    add column only_asks boolean not null default false;
create index step_due_by_hold on step (lane, only_asks, system, plant, flow, next_at, id)
    where state in ('ready', 'in_doubt') and kind = 'call';
update step s
set flow = split_part(l.key, '/', 1),
    only_asks = s.verb in ('read-coverage', 'read-object', 'read-supplier')
from ledger l
where l.id = s.ledger_id and s.kind = 'call'
  and s.state in ('waiting', 'held', 'ready', 'in_flight', 'in_doubt', 'failed');

-- What people do to one change. paused_at: since when nothing of it begins. ends_as: its state once
-- every step is settled. cancelled_by: who took it back, where a person did: only a newer statement
-- of its source plans it anew.
alter table ledger
    add column paused_at    timestamptz,
    add column paused_by    text not null default '',
    add column pause_reason text not null default '',
    add column ends_as      text not null default 'complete'
        check (ends_as in ('complete', 'cancelled')),
    add column cancelled_by text not null default '';
alter table ledger drop constraint ledger_state_check;
alter table ledger add constraint ledger_state_check
    check (state in ('open', 'complete', 'cancelled'));
-- Changes that their source took back used to end as complete, and said so in their title.
update ledger
set ends_as = 'cancelled', title = left(title, -length(' (cancelled)')),
    state = case state when 'complete' then 'cancelled' else state end
where title like '% (cancelled)' and findings @> '[{"code": "change-cancelled"}]';

alter table step drop constraint step_state_check;
alter table step add constraint step_state_check
    check (state in ('waiting', 'held', 'ready', 'in_flight', 'in_doubt', 'done', 'failed', 'skipped', 'cancelled', 'superseded'));
-- What is held goes by the newest state of its fact too, once it goes on.
drop index step_waiting_for;
create index step_waiting_for on step (fact)
    where fact is not null and state in ('waiting', 'held', 'ready');

-- What is left behind is one case a ledger. What a person has decided on is not asked again in it.
update step s set reason = s.reason || '; left so by ' || e.closed_by
from exception_case e join ledger l on l.key = e.ledger_key
where e.code = 'left-behind' and e.state = 'resolved' and s.ledger_id = l.id
  and s.state = 'superseded' and s.reason = 'done, and no longer planned'
  and e.place = l.key || ': ' || s.identity;
