-- Only statements that ask by time may use this index. PostgreSQL 18 also looks keys up by the second column of an index, through all of
-- it, and that looks free whenever the table was empty at its last analysis.
drop index awaiting_until;
create index awaiting_until on awaiting (until, notification_id) where until < 'infinity';
