-- The built-in contact register, and what the sandbox keeps.

create table contact_person (
    pid    text    primary key,
    name   text,
    email  text,
    mobile text,
    reserved boolean not null default false,
    stale    boolean not null default false
);

create table contact_organization (
    number  text   primary key,
    name    text,
    emails  text[] not null default '{}',
    mobiles text[] not null default '{}'
);

create table contact_user (
    number    text    not null references contact_organization on delete cascade,
    position  integer not null,
    pid       text    not null,
    email     text,
    mobile    text,
    resources text[],                                  -- null: authorized for every resource
    primary key (number, position)
);

create table contact_identity (
    urn    text    primary key,                        -- lower case: matched ignoring case
    name   text,
    email  text,
    mobile text,
    reserved boolean not null default false,
    stale    boolean not null default false
);

-- How far the calendar clock of this installation is moved (sandbox); one row.
create table calendar (
    singleton boolean  primary key default true check (singleton),
    shift     interval not null default '0'
);
insert into calendar default values;

-- What the sandbox inbox and the gateway simulator received. Kept as it came and read afterwards, so that an
-- acknowledgement does not wait for the reading of MIME: `body` is null until then.
create table sandbox_message (
    id          uuid        primary key,               -- UUIDv7: the order of arrival, whatever the calendar said
    channel     text        not null check (channel in ('email', 'sms')),
    recipient   text        not null,                  -- an address as it came; a number as +47…
    sender      text        not null,
    subject     text,
    body        text,                                  -- the text part of a mail, the text of an SMS
    html        text,
    raw         bytea,
    details     jsonb       not null default '{}',
    received_at timestamptz not null                   -- calendar clock
);
create index sandbox_message_recipient on sandbox_message (channel, lower(recipient), id);
create index sandbox_message_unread on sandbox_message (id) where body is null;
