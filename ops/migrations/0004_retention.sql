-- Retention: what was handled is forgotten after a while, what is unfinished never is.

-- Expiry walks the oldest rows first, a batch at a time.
create index inbox_by_age on inbox (received_at);
create index duplicate_by_age on duplicate (at);

-- From a message to the unfinished work about it.
create index pending_by_message on pending (message_at, message_seq);
create index outbox_by_message on outbox (message_at, message_seq);
create index ledger_by_message on ledger (message_at, message_seq);

-- Messages somebody still needs: they stay in the log however old they are. Whoever adds a new
-- kind of reference to the log adds it here.
create view unfinished_message as
    select message_at, message_seq from outbox
    union all
    select message_at, message_seq from pending
    union all
    -- A ledger that has just closed may be waking in a transaction that has not committed yet.
    select message_at, message_seq from ledger
    where state = 'open' or completed_at > now() - interval '1 hour'
    union all
    select message_at, message_seq from exception_case
    where state = 'open' and message_at is not null;

-- True afterwards: the day has a partition, and its messages that fell into the default are in it.
-- Returns whether it was made. Attached, not created in place: that would lock out every reader
-- and writer of the log. So only those wait who touch the default, and nobody longer than the
-- lock time-out.
create function make_message_partition(day date) returns boolean language plpgsql
set lock_timeout = '200ms' as $$
declare
    name    text        := 'message_' || to_char(day, 'YYYYMMDD');
    from_at timestamptz := day::timestamp at time zone 'UTC';
    to_at   timestamptz := (day + 1)::timestamp at time zone 'UTC';
begin
    -- Makers take turns; readers and writers of the log go on.
    lock table only message in share update exclusive mode;
    if to_regclass(name) is not null then
        return false;
    end if;
    lock table only message_default in access exclusive mode;
    execute format('create table %I (like message including all)', name);
    execute format(
        'with fallen as (delete from message_default where at >= %L and at < %L returning *)
         insert into %I select * from fallen', from_at, to_at, name);
    execute format(
        'alter table message attach partition %I for values from (%L) to (%L)',
        name, from_at, to_at);
    return true;
end $$;

-- True afterwards: a partition exists for each day from today to today + days ahead.
create or replace function ensure_message_partitions(days_ahead int) returns int language sql as $$
    select count(*) filter (where make_message_partition((now() at time zone 'UTC')::date + n))::int
    from generate_series(0, days_ahead) n
$$;

select ensure_message_partitions(7);
