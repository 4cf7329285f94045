-- Who worked on this database first, for good: where it was a production, no sandbox may, whose inbox would take real people's messages.
alter table calendar add column mode text check (mode in ('sandbox', 'production'));
