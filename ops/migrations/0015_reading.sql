-- A message that told no more than a key waits until its object was read.
alter table pending drop constraint pending_state_check;
alter table pending add constraint pending_state_check
    check (state in ('ready', 'retry', 'parked', 'in_case', 'reading'));
