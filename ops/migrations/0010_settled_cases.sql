-- Settled cases are kept for ever: looked up as often as open ones, by what they say and by their
-- message.
create index exception_case_by_place on exception_case (code, place);
create index exception_case_by_any_message on exception_case (message_at, message_seq)
    where message_at is not null;
