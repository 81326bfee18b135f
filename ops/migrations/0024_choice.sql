-- The word that a decision names, where the question is not answered by yes or no.
alter table decision add column choice text not null default '';
