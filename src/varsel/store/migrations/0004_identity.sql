-- Identity: organisations, integrations, scopes, keys, and the memory that stops replays (docs/reference/identity.md 11).

create table organisation (
    number     text        primary key check (number ~ '^[0-9]{9}$'),
    name       text        not null,
    created_at timestamptz not null default clock_timestamp()
);

-- Service owners: code -> organisation. A code may lack a number (the test department does).
create table service_owner (
    code       text        primary key check (code ~ '^[a-z0-9]{1,40}$'),
    number     text        check (number ~ '^[0-9]{9}$'),
    name_nb    text        not null,
    name_nn    text        not null,
    name_en    text        not null,
    details    jsonb       not null default '{}',
    created_at timestamptz not null default clock_timestamp()
);
create unique index service_owner_number on service_owner (number) where number is not null;

create table prefix (
    name  text primary key,
    owner text not null references organisation
);

create table scope (
    name         text        primary key,
    prefix       text        not null references prefix,
    subscope     text        not null,
    description  text        not null default '',
    owner        text        not null references organisation,
    attributes   jsonb       not null default '{}',   -- identity.md 3.7
    active       boolean     not null default true,
    created_at   timestamptz not null default clock_timestamp(),
    updated_at   timestamptz not null default clock_timestamp()
);

create table scope_access (
    scope      text        not null references scope,
    consumer   text        not null references organisation,
    state      text        not null check (state in ('REQUESTED', 'APPROVED', 'DENIED')),
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp(),
    primary key (scope, consumer)
);
create index scope_access_consumer on scope_access (consumer);

create table client (
    id           uuid        primary key,
    environment  text        not null default 'test' check (environment in ('test', 'production')),
    organisation text        not null references organisation,
    supplier     text        references organisation,
    kind         text        not null,                 -- integration_type
    name         text        not null,
    description  text        not null default '',
    settings     jsonb       not null default '{}',    -- the other members of identity.md 3.5
    active       boolean     not null default true,
    version      bigint      not null default 1,       -- If-Match of edits, and of the key set
    keys_version bigint      not null default 1,
    secret       bytea,                                -- HMAC of the client secret (person clients only)
    secret_until timestamptz,
    created_at   timestamptz not null default clock_timestamp(),
    updated_at   timestamptz not null default clock_timestamp()
);
create index client_organisation on client (organisation);

create table client_scope (
    client_id uuid not null references client on delete cascade,
    scope     text not null,
    primary key (client_id, scope)
);

create table client_key (
    client_id  uuid        not null references client on delete cascade,
    kid        text        not null,
    jwk        jsonb       not null,                   -- public members only
    thumbprint bytea       not null,
    created_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null,
    primary key (client_id, kid)
);
create index client_key_thumbprint on client_key (thumbprint);

create table delegation (
    consumer   text        not null references organisation,
    supplier   text        not null references organisation,
    scope      text        not null,
    valid_from timestamptz not null default clock_timestamp(),
    valid_to   timestamptz,
    primary key (consumer, supplier, scope)
);

-- Sub-clients that a supplier registers for its customers (identity.md 3.4, onbehalfof).
create table client_onbehalfof (
    client_id    uuid        not null references client on delete cascade,
    name         text        not null,
    organisation text        not null check (organisation ~ '^[0-9]{9}$'),
    details      jsonb       not null default '{}',
    active       boolean     not null default true,
    created_at   timestamptz not null default clock_timestamp(),
    updated_at   timestamptz not null default clock_timestamp(),
    primary key (client_id, name)
);

-- Whose tokens count besides our own: nothing is trusted by a likeness of names, every issuer is a row. The keys last fetched
-- stay here, so that a start during an issuer's outage knows them.
create table trusted_issuer (
    issuer       text        primary key,
    kind         text        not null check (kind in ('maskinporten', 'idporten', 'altinn')),
    environment  text        not null check (environment in ('test', 'production')),
    metadata_url text        not null,
    algorithms   text[]      not null default '{RS256}',
    keys         jsonb,
    fetched_at   timestamptz
);

-- A grant is used once, over all processes: the insert decides.
create table grant_replay (
    issuer     text        not null,
    key        bytea       not null,                   -- SHA-256 of jti, or of the whole assertion
    expires_at timestamptz not null,
    primary key (issuer, key)
);
create index grant_replay_expires on grant_replay (expires_at);

create table signing_key (
    kid         text        primary key,
    issuer      text        not null check (issuer in ('maskinporten', 'altinn', 'idporten')),
    private     bytea       not null,                  -- encrypted under the master key
    public      jsonb       not null,
    certificate bytea,                                 -- DER, where the issuer publishes one
    publish_at  timestamptz not null default clock_timestamp(),
    sign_from   timestamptz not null,
    sign_until  timestamptz,
    retire_at   timestamptz
);
create index signing_key_issuer on signing_key (issuer, sign_from);

-- Whose platform access tokens count (identity.md 6.6).
create table platform_issuer (
    issuer      text        not null check (issuer ~ '^[a-z0-9-]{2,40}$'),
    thumbprint  text        not null,
    certificate bytea       not null,
    private     bytea,                                 -- sealed; only for issuers that Varsel itself signs for
    trusted     boolean     not null default false,    -- may act for the code in the bearer token
    withdrawn   boolean     not null default false,
    created_at  timestamptz not null default clock_timestamp(),
    primary key (issuer, thumbprint)
);

create table person (
    pid        text        primary key check (pid ~ '^[0-9]{11}$'),
    name       text        not null default '',
    user_id    bigint      generated by default as identity,
    party_id   bigint      generated by default as identity,
    party_uuid uuid        not null,
    username   text        not null default ''
);

-- Who may do what in portal and console: by invitation, not by claims alone.
create table membership (
    pid          text        not null,
    organisation text        references organisation,  -- null: the platform itself (operator)
    role         text        not null check (role in ('service-owner', 'operator')),
    created_at   timestamptz not null default clock_timestamp()
);
create unique index membership_unique on membership (pid, role, coalesce(organisation, ''));

create table oidc_transaction (
    id         bytea       primary key,                -- SHA-256 of the opaque handle
    kind       text        not null,                   -- request (PAR), login, code, refresh
    client_id  text        not null,
    family     uuid,                                   -- what one login gave: a code and its refresh tokens die together
    data       jsonb       not null,
    used_at    timestamptz,
    expires_at timestamptz not null
);
create index oidc_transaction_family on oidc_transaction (family) where family is not null;
create index oidc_transaction_expires on oidc_transaction (expires_at);

create table session (
    id         bytea       primary key,                -- HMAC of the handle in the cookie
    kind       text        not null check (kind in ('console', 'altinn', 'idporten')),
    pid        text        not null,
    data       jsonb       not null default '{}',
    created_at timestamptz not null default clock_timestamp(),
    seen_at    timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null
);
create index session_expires on session (expires_at);

create table login_failure (
    pid        text        primary key,
    failures   integer     not null default 0,
    last_at    timestamptz not null,
    locked_until timestamptz
);

-- Budgets per minute over all processes, for token requests, logins and dry runs.
create table rate_limit (
    scope text    not null,
    slice bigint  not null,
    used  integer not null,
    primary key (scope, slice)
);

create table audit_event (
    id           uuid        not null,                 -- UUIDv7
    at           timestamptz not null default clock_timestamp(),
    actor        text        not null,                 -- client id, HMAC of a person, or 'operator'
    organisation text,
    action       text        not null,
    subject      text        not null default '',
    details      jsonb       not null default '{}',    -- never tokens, keys or personal data
    primary key (id)
) partition by range (id);
create index audit_event_organisation on audit_event (organisation, id);
