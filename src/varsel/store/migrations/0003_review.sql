-- Review: the feed, the notification log, daily figures and webhooks.

-- Orders that have been fed, unpartitioned because an order is fed once for ever.
create table fed (
    order_id uuid primary key
);

-- Committed with the end of an order, without a number; the sequencer moves it to `feed`.
create table feed_pending (
    mark       bigint      generated always as identity primary key, -- where the sequencer's scan goes on; not the feed's number
    order_id   uuid        not null,                   -- unique by `fed`
    creator    text        not null,
    created_at timestamptz not null,
    entry      bytea       not null                    -- the members after sequenceNumber, already laid out as they are served
);

-- One row: the last number given. Its lock is the sequencer's leadership, held for one short transaction.
create table feed_counter (
    singleton boolean primary key default true check (singleton),
    last      bigint  not null,
    timeline  integer not null                         -- of the server that numbered last: after a promotion the series skips
);
insert into feed_counter (last, timeline) values (0, 1);

-- Numbered in commit order; partitioned by number, because pages are read by number.
create table feed (
    seq        bigint      not null,
    creator    text        not null,
    order_id   uuid        not null,
    created_at timestamptz not null,
    entry      bytea       not null,
    primary key (creator, seq)                         -- and no key on seq alone: it would tempt the planner to filter everybody's pages
) partition by range (seq);
create index feed_created on feed (created_at);

create table notification_log (
    order_id          uuid        not null,            -- shipment
    notification_id   uuid        not null,
    chain_id          uuid,
    creator           text        not null,
    senders_reference text,
    dialog_id         text,
    transmission_id   text,
    kind              text        not null,
    channel           text        not null,
    recipient_kind    text        not null,
    recipient         text,
    recipient_key     bytea,
    destination       text        not null,
    resource_id       text,
    status            text        not null,
    reference         text,
    requested_at      timestamptz not null,
    updated_at        timestamptz not null,
    primary key (order_id, notification_id)
) partition by range (order_id);
-- Both are free text of any length, and an index row is not: their beginnings find them.
create index notification_log_dialog on notification_log (left(dialog_id, 64), creator) where dialog_id is not null;
create index notification_log_transmission on notification_log (left(transmission_id, 64), creator) where transmission_id is not null;

-- Kept as things happen, so that no page counts history: each finishing transaction adds its sums as rows of its own (one row updated
-- by everybody would be a queue before every commit), and the worker folds past days. Readers take sum(number), sum(parts).
-- Day: UTC day of the order's requested time for orders (status: the order's end), of the final result for notifications.
create table metric_daily (
    day     date   not null,
    creator text   not null,
    what    text   not null check (what in ('orders', 'Email', 'Sms')),
    status  text   not null default '',
    number  bigint not null default 0,
    parts   bigint not null default 0
);
create index metric_daily_day on metric_daily (day, creator);

create table webhook (
    id             uuid        primary key,
    creator        text        not null,
    url            text        not null,
    events         text[]      not null,
    secret         bytea       not null,               -- encrypted under the master key
    previous       bytea,                              -- the secret before a rotation, until previous_until
    previous_until timestamptz,
    created_at     timestamptz not null,
    failing_since  timestamptz,
    failures       integer     not null default 0,     -- since the last success
    rest_until     timestamptz,                        -- machine clock: after a failure nothing is sent before
    disabled_at    timestamptz,
    disabled_why   text
);
create index webhook_creator on webhook (creator);

-- What is to be told to an endpoint, written by the statement that made it true. The words are put together when it is sent:
-- an event of the feed by its number (`seq`), any other by its message and the status it took.
create table webhook_event (
    id              uuid        primary key default uuidv7(),
    webhook_id      uuid        not null references webhook on delete cascade,
    type            text        not null,
    seq             bigint,
    order_id        uuid,
    notification_id uuid,
    status          text,
    at              timestamptz not null,            -- calendar clock: when it happened
    created_at      timestamptz not null default clock_timestamp(),
    next_at         timestamptz not null default clock_timestamp(),
    tries           smallint    not null default 0,
    owner           uuid,
    lease_until     timestamptz
);
create index webhook_event_waiting on webhook_event (webhook_id, next_at, id) where owner is null;
create index webhook_event_leased on webhook_event (lease_until) where owner is not null;

create table webhook_attempt (
    id         uuid        primary key,
    webhook_id uuid        not null references webhook on delete cascade,
    message_id text        not null,
    type       text        not null,
    at         timestamptz not null default clock_timestamp(),
    status     integer,
    detail     text        not null default '',
    took_ms    integer     not null
);
create index webhook_attempt_webhook on webhook_attempt (webhook_id, at);

alter table webhook_event set (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);
alter table feed_pending set (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0,
    autovacuum_analyze_threshold = 2000, autovacuum_analyze_scale_factor = 0.2, autovacuum_vacuum_cost_delay = 0);
alter table feed_counter set (fillfactor = 20, autovacuum_vacuum_threshold = 50, autovacuum_vacuum_scale_factor = 0);
alter table metric_daily set (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.05);
