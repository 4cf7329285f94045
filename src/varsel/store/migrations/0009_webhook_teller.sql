-- Who tells an endpoint something now, and until when at the latest: it is told one thing at a time, whatever the number of workers.
alter table webhook add column teller uuid, add column telling_until timestamptz;
