-- Questions by the time in which they have to be answered, those that were answered too: lists of them
-- begin there, however many steps there are.
create index step_asked on step (due_at, id) where kind = 'approval';
