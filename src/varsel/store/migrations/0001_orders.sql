-- Orders: what was accepted, and what waits to be processed.
-- Public ids are UUIDv7: facts are partitioned by month on them, so a lookup by id reads one partition.

-- The key of a request, kept unpartitioned because it must be unique for ever (design promise 7).
create table idempotency (
    creator      text        not null,
    family       text        not null check (family in ('chain', 'instant', 'composed')),
    key_hash     bytea       not null,   -- SHA-256 of the idempotency id as sent: the id itself has no length limit
    chain_id     uuid        not null,
    body_mac     bytea       not null,   -- HMAC of the accepted body: tells a repeat with another body
    receipt      bytea       not null,   -- the JSON answer, as first given; an instant order that its provider refused loses its row
    created_at   timestamptz not null,
    primary key (creator, family, key_hash)
);
create index idempotency_chain on idempotency (chain_id);

create table orders (
    id                uuid        not null,
    chain_id          uuid,                          -- null: a v1 order
    position          integer     not null default 0, -- 0 the main order, n the n-th reminder
    creator           text        not null,
    kind              text        not null check (kind in ('Notification', 'Reminder', 'Instant', 'Composed')),
    channel           text        not null check (channel in ('Email', 'Sms', 'EmailPreferred', 'SmsPreferred', 'EmailAndSms')),
    sending_policy    text        check (sending_policy in ('Anytime', 'Daytime')), -- of the SMS; null: v1, as Daytime
    senders_reference text,
    resource_id       text,
    resource_action   text,
    dialog_id         text,
    transmission_id   text,
    requested_at      timestamptz not null,
    created_at        timestamptz not null,
    state             text        not null check (state in
                          ('Registered', 'Attempting', 'Processing', 'Processed', 'Completed', 'SendConditionNotMet', 'Cancelled', 'Void')),
    state_at          timestamptz not null,
    remaining         integer     not null default 0, -- notifications that are not final; the order completes at zero
    ended_at          timestamptz,
    primary key (id)
) partition by range (id);
create index orders_reference on orders (creator, hashtextextended(senders_reference, 0)) where senders_reference is not null;
create index orders_chain on orders (chain_id) where chain_id is not null;
create index orders_requested on orders (requested_at, creator);

-- Texts, recipients and settings, written once and read by the worker; apart from `orders` so that a state change rewrites a
-- narrow row, and so that retention can erase it first.
create table order_content (
    order_id uuid  not null,
    content  bytea not null,            -- varsel.store.content.OrderContent as JSON
    primary key (order_id)
) partition by range (order_id);

-- Waits for its send time, or is being planned (owner set). Deleted when planned, ended or cancelled.
create table due (
    order_id    uuid        primary key,
    creator     text        not null,
    due_at      timestamptz not null,   -- calendar clock
    tries       smallint    not null default 0, -- inconclusive or failed rounds so far
    asked       boolean     not null default false, -- the send condition was inconclusive once: the next such answer counts as met
    owner       uuid,
    lease_until timestamptz             -- machine clock of the database
);
create index due_waiting on due (due_at, order_id) where owner is null;
create index due_leased on due (lease_until) where owner is not null;
