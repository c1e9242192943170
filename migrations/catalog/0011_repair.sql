-- A move may be asked to rewrite what its verification finds to differ.
alter table catalog.operations add column repair boolean not null default false;
comment on column catalog.operations.repair is
  'Rows of the target that verification finds to differ are rewritten from the source; without it the move is given up.';
