-- The whole schema, without the partitions of each month; written by `make schema`, not by hand.

CREATE TABLE public.attempt (
    order_id uuid NOT NULL,
    id uuid NOT NULL,
    notification_id uuid NOT NULL,
    number smallint NOT NULL,
    provider text NOT NULL,
    begun_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone NOT NULL,
    outcome text NOT NULL,
    settled_by text,
    reference text,
    code text,
    detail text,
    CONSTRAINT attempt_outcome_check CHECK ((outcome = ANY (ARRAY['accepted'::text, 'permanent'::text, 'temporary'::text, 'unknown'::text])))
)
PARTITION BY RANGE (order_id);

CREATE TABLE public.audit_event (
    id uuid NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    actor text NOT NULL,
    organisation text,
    action text NOT NULL,
    subject text DEFAULT ''::text NOT NULL,
    details jsonb DEFAULT '{}'::jsonb NOT NULL
)
PARTITION BY RANGE (id);

CREATE TABLE public.awaiting (
    notification_id uuid NOT NULL,
    order_id uuid NOT NULL,
    channel text NOT NULL,
    until timestamp with time zone NOT NULL,
    then_status text NOT NULL,
    poll_at timestamp with time zone,
    polls smallint DEFAULT 0 NOT NULL,
    provider text,
    reference text
)
WITH (autovacuum_vacuum_threshold='2000', autovacuum_vacuum_scale_factor='0.02', autovacuum_analyze_threshold='2000', autovacuum_analyze_scale_factor='0.2', autovacuum_vacuum_cost_delay='0');

CREATE TABLE public.calendar (
    singleton boolean DEFAULT true NOT NULL,
    shift interval DEFAULT '00:00:00'::interval NOT NULL,
    mode text,
    CONSTRAINT calendar_mode_check CHECK ((mode = ANY (ARRAY['sandbox'::text, 'production'::text]))),
    CONSTRAINT calendar_singleton_check CHECK (singleton)
);

CREATE TABLE public.client (
    id uuid NOT NULL,
    environment text DEFAULT 'test'::text NOT NULL,
    organisation text NOT NULL,
    supplier text,
    kind text NOT NULL,
    name text NOT NULL,
    description text DEFAULT ''::text NOT NULL,
    settings jsonb DEFAULT '{}'::jsonb NOT NULL,
    active boolean DEFAULT true NOT NULL,
    version bigint DEFAULT 1 NOT NULL,
    keys_version bigint DEFAULT 1 NOT NULL,
    secret bytea,
    secret_until timestamp with time zone,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    updated_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT client_environment_check CHECK ((environment = ANY (ARRAY['test'::text, 'production'::text])))
);

CREATE TABLE public.client_key (
    client_id uuid NOT NULL,
    kid text NOT NULL,
    jwk jsonb NOT NULL,
    thumbprint bytea NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    expires_at timestamp with time zone NOT NULL
);

CREATE TABLE public.client_onbehalfof (
    client_id uuid NOT NULL,
    name text NOT NULL,
    organisation text NOT NULL,
    details jsonb DEFAULT '{}'::jsonb NOT NULL,
    active boolean DEFAULT true NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    updated_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT client_onbehalfof_organisation_check CHECK ((organisation ~ '^[0-9]{9}$'::text))
);

CREATE TABLE public.client_scope (
    client_id uuid NOT NULL,
    scope text NOT NULL
);

CREATE TABLE public.contact_identity (
    urn text NOT NULL,
    name text,
    email text,
    mobile text,
    reserved boolean DEFAULT false NOT NULL,
    stale boolean DEFAULT false NOT NULL
);

CREATE TABLE public.contact_organization (
    number text NOT NULL,
    name text,
    emails text[] DEFAULT '{}'::text[] NOT NULL,
    mobiles text[] DEFAULT '{}'::text[] NOT NULL
);

CREATE TABLE public.contact_person (
    pid text NOT NULL,
    name text,
    email text,
    mobile text,
    reserved boolean DEFAULT false NOT NULL,
    stale boolean DEFAULT false NOT NULL
);

CREATE TABLE public.contact_user (
    number text NOT NULL,
    "position" integer NOT NULL,
    pid text NOT NULL,
    email text,
    mobile text,
    resources text[]
);

CREATE TABLE public.delegation (
    consumer text NOT NULL,
    supplier text NOT NULL,
    scope text NOT NULL,
    valid_from timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    valid_to timestamp with time zone
);

CREATE TABLE public.due (
    order_id uuid NOT NULL,
    creator text NOT NULL,
    due_at timestamp with time zone NOT NULL,
    tries smallint DEFAULT 0 NOT NULL,
    asked boolean DEFAULT false NOT NULL,
    owner uuid,
    lease_until timestamp with time zone
)
WITH (fillfactor='80', autovacuum_vacuum_threshold='2000', autovacuum_vacuum_scale_factor='0', autovacuum_analyze_threshold='2000', autovacuum_analyze_scale_factor='0.2', autovacuum_vacuum_cost_delay='0');

CREATE TABLE public.fed (
    order_id uuid NOT NULL
);

CREATE TABLE public.feed (
    seq bigint NOT NULL,
    creator text NOT NULL,
    order_id uuid NOT NULL,
    created_at timestamp with time zone NOT NULL,
    entry bytea NOT NULL
)
PARTITION BY RANGE (seq);

CREATE TABLE public.feed_counter (
    singleton boolean DEFAULT true NOT NULL,
    last bigint NOT NULL,
    timeline integer NOT NULL,
    CONSTRAINT feed_counter_singleton_check CHECK (singleton)
)
WITH (fillfactor='20', autovacuum_vacuum_threshold='50', autovacuum_vacuum_scale_factor='0');

CREATE TABLE public.feed_pending (
    mark bigint NOT NULL,
    order_id uuid NOT NULL,
    creator text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    entry bytea NOT NULL
)
WITH (autovacuum_vacuum_threshold='1000', autovacuum_vacuum_scale_factor='0', autovacuum_analyze_threshold='2000', autovacuum_analyze_scale_factor='0.2', autovacuum_vacuum_cost_delay='0');

ALTER TABLE public.feed_pending ALTER COLUMN mark ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.feed_pending_mark_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.grant_replay (
    issuer text NOT NULL,
    key bytea NOT NULL,
    expires_at timestamp with time zone NOT NULL
);

CREATE TABLE public.handoff (
    attempt_id uuid NOT NULL,
    notification_id uuid NOT NULL,
    order_id uuid NOT NULL,
    creator text NOT NULL,
    channel text NOT NULL,
    provider text NOT NULL,
    number smallint NOT NULL,
    lane smallint NOT NULL,
    domain text,
    daytime boolean DEFAULT false NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    worker uuid NOT NULL,
    begun_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    unknown_at timestamp with time zone,
    settle_at timestamp with time zone
)
WITH (fillfactor='80', autovacuum_vacuum_threshold='1000', autovacuum_vacuum_scale_factor='0', autovacuum_analyze_threshold='2000', autovacuum_analyze_scale_factor='0.2', autovacuum_vacuum_cost_delay='0');

CREATE TABLE public.idempotency (
    creator text NOT NULL,
    family text NOT NULL,
    key_hash bytea NOT NULL,
    chain_id uuid NOT NULL,
    body_mac bytea NOT NULL,
    receipt bytea NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT idempotency_family_check CHECK ((family = ANY (ARRAY['chain'::text, 'instant'::text, 'composed'::text])))
);

CREATE TABLE public.login_failure (
    pid text NOT NULL,
    failures integer DEFAULT 0 NOT NULL,
    last_at timestamp with time zone NOT NULL,
    locked_until timestamp with time zone
);

CREATE TABLE public.membership (
    pid text NOT NULL,
    organisation text,
    role text NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT membership_role_check CHECK ((role = ANY (ARRAY['service-owner'::text, 'operator'::text])))
);

CREATE TABLE public.metric_daily (
    day date NOT NULL,
    creator text NOT NULL,
    what text NOT NULL,
    status text DEFAULT ''::text NOT NULL,
    number bigint DEFAULT 0 NOT NULL,
    parts bigint DEFAULT 0 NOT NULL,
    CONSTRAINT metric_daily_what_check CHECK ((what = ANY (ARRAY['orders'::text, 'Email'::text, 'Sms'::text])))
)
WITH (autovacuum_vacuum_threshold='1000', autovacuum_vacuum_scale_factor='0.05');

CREATE TABLE public.metric_monthly (
    month date NOT NULL,
    creator text NOT NULL,
    orders bigint NOT NULL,
    emails bigint NOT NULL,
    emails_succeeded bigint NOT NULL,
    sms bigint NOT NULL,
    sms_succeeded bigint NOT NULL
);

CREATE TABLE public.notification (
    order_id uuid NOT NULL,
    id uuid NOT NULL,
    creator text NOT NULL,
    channel text NOT NULL,
    "position" integer NOT NULL,
    recipient_kind text NOT NULL,
    recipient text,
    recipient_key bytea,
    address text NOT NULL,
    custom_subject text,
    custom_body text,
    sms_parts smallint,
    body_length integer,
    attachment_bytes bigint DEFAULT 0 NOT NULL,
    status text NOT NULL,
    rank smallint NOT NULL,
    status_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    reference text,
    provider text,
    corrected boolean DEFAULT false NOT NULL,
    serial bigint NOT NULL,
    CONSTRAINT notification_channel_check CHECK ((channel = ANY (ARRAY['Email'::text, 'Sms'::text]))),
    CONSTRAINT notification_recipient_kind_check CHECK ((recipient_kind = ANY (ARRAY['direct'::text, 'person'::text, 'organization'::text, 'identity'::text])))
)
PARTITION BY RANGE (order_id);

CREATE TABLE public.notification_log (
    order_id uuid NOT NULL,
    notification_id uuid NOT NULL,
    chain_id uuid,
    creator text NOT NULL,
    senders_reference text,
    dialog_id text,
    transmission_id text,
    kind text NOT NULL,
    channel text NOT NULL,
    recipient_kind text NOT NULL,
    recipient text,
    recipient_key bytea,
    destination text NOT NULL,
    resource_id text,
    status text NOT NULL,
    reference text,
    requested_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL
)
PARTITION BY RANGE (order_id);

ALTER TABLE public.notification ALTER COLUMN serial ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.notification_serial_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.oidc_transaction (
    id bytea NOT NULL,
    kind text NOT NULL,
    client_id text NOT NULL,
    family uuid,
    data jsonb NOT NULL,
    used_at timestamp with time zone,
    expires_at timestamp with time zone NOT NULL
);

CREATE TABLE public.order_content (
    order_id uuid NOT NULL,
    content bytea NOT NULL
)
PARTITION BY RANGE (order_id);

CREATE TABLE public.orders (
    id uuid NOT NULL,
    chain_id uuid,
    "position" integer DEFAULT 0 NOT NULL,
    creator text NOT NULL,
    kind text NOT NULL,
    channel text NOT NULL,
    sending_policy text,
    senders_reference text,
    resource_id text,
    resource_action text,
    dialog_id text,
    transmission_id text,
    requested_at timestamp with time zone NOT NULL,
    created_at timestamp with time zone NOT NULL,
    state text NOT NULL,
    state_at timestamp with time zone NOT NULL,
    remaining integer DEFAULT 0 NOT NULL,
    ended_at timestamp with time zone,
    CONSTRAINT orders_channel_check CHECK ((channel = ANY (ARRAY['Email'::text, 'Sms'::text, 'EmailPreferred'::text, 'SmsPreferred'::text, 'EmailAndSms'::text]))),
    CONSTRAINT orders_kind_check CHECK ((kind = ANY (ARRAY['Notification'::text, 'Reminder'::text, 'Instant'::text, 'Composed'::text]))),
    CONSTRAINT orders_sending_policy_check CHECK ((sending_policy = ANY (ARRAY['Anytime'::text, 'Daytime'::text]))),
    CONSTRAINT orders_state_check CHECK ((state = ANY (ARRAY['Registered'::text, 'Attempting'::text, 'Processing'::text, 'Processed'::text, 'Completed'::text, 'SendConditionNotMet'::text, 'Cancelled'::text, 'Void'::text])))
)
PARTITION BY RANGE (id);

CREATE TABLE public.organisation (
    number text NOT NULL,
    name text NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT organisation_number_check CHECK ((number ~ '^[0-9]{9}$'::text))
);

CREATE TABLE public.pacing (
    scope text NOT NULL,
    slice bigint NOT NULL,
    used integer NOT NULL
)
WITH (autovacuum_vacuum_threshold='1000', autovacuum_vacuum_scale_factor='0');

CREATE TABLE public.parked_report (
    report_id uuid NOT NULL,
    provider text NOT NULL,
    reference text,
    word text,
    status text,
    received_at timestamp with time zone NOT NULL,
    give_up_at timestamp with time zone NOT NULL,
    reason text,
    dead_at timestamp with time zone,
    attempts integer DEFAULT 1 NOT NULL,
    CONSTRAINT parked_report_reason_check CHECK ((reason = ANY (ARRAY['RETRY_THRESHOLD_EXCEEDED'::text, 'NOTIFICATION_EXPIRED'::text, 'UNRECOGNIZED_SEND_RESULT'::text, 'INVALID_NOTIFICATION_IDENTIFIER'::text, 'MALFORMED'::text])))
)
WITH (autovacuum_vacuum_threshold='1000', autovacuum_vacuum_scale_factor='0', autovacuum_analyze_threshold='2000', autovacuum_analyze_scale_factor='0.2', autovacuum_vacuum_cost_delay='0');

CREATE TABLE public.person (
    pid text NOT NULL,
    name text DEFAULT ''::text NOT NULL,
    user_id bigint NOT NULL,
    party_id bigint NOT NULL,
    party_uuid uuid NOT NULL,
    username text DEFAULT ''::text NOT NULL,
    CONSTRAINT person_pid_check CHECK ((pid ~ '^[0-9]{11}$'::text))
);

ALTER TABLE public.person ALTER COLUMN party_id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.person_party_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE public.person ALTER COLUMN user_id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.person_user_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.platform_issuer (
    issuer text NOT NULL,
    thumbprint text NOT NULL,
    certificate bytea NOT NULL,
    private bytea,
    trusted boolean DEFAULT false NOT NULL,
    withdrawn boolean DEFAULT false NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT platform_issuer_issuer_check CHECK ((issuer ~ '^[a-z0-9-]{2,40}$'::text))
);

CREATE TABLE public.prefix (
    name text NOT NULL,
    owner text NOT NULL
);

CREATE TABLE public.provider_reference (
    provider text NOT NULL,
    reference text NOT NULL,
    order_id uuid NOT NULL,
    notification_id uuid NOT NULL
);

CREATE TABLE public.provider_state (
    provider text NOT NULL,
    paused_until timestamp with time zone,
    reason text,
    failures integer DEFAULT 0 NOT NULL,
    updated_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
)
WITH (fillfactor='50', autovacuum_vacuum_threshold='100', autovacuum_vacuum_scale_factor='0');

CREATE TABLE public.rate_limit (
    scope text NOT NULL,
    slice bigint NOT NULL,
    used integer NOT NULL
);

CREATE TABLE public.ready (
    notification_id uuid NOT NULL,
    order_id uuid NOT NULL,
    creator text NOT NULL,
    channel text NOT NULL,
    lane smallint DEFAULT 1 NOT NULL,
    domain text,
    ready_at timestamp with time zone NOT NULL,
    not_before timestamp with time zone,
    expires_at timestamp with time zone NOT NULL,
    tries smallint DEFAULT 0 NOT NULL,
    daytime boolean DEFAULT false NOT NULL,
    provider text,
    owner uuid,
    lease_until timestamp with time zone
)
WITH (fillfactor='80', autovacuum_vacuum_threshold='2000', autovacuum_vacuum_scale_factor='0', autovacuum_analyze_threshold='2000', autovacuum_analyze_scale_factor='0.2', autovacuum_vacuum_cost_delay='0');

CREATE TABLE public.report (
    id uuid NOT NULL,
    provider text NOT NULL,
    reference text,
    word text,
    status text,
    raw bytea NOT NULL,
    received_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
)
PARTITION BY RANGE (id);

CREATE TABLE public.reserve (
    order_id uuid NOT NULL,
    id uuid NOT NULL,
    creator text NOT NULL,
    channel text NOT NULL,
    "position" integer NOT NULL,
    recipient_kind text NOT NULL,
    recipient text,
    recipient_key bytea,
    address text NOT NULL,
    custom_subject text,
    custom_body text,
    sms_parts smallint,
    body_length integer,
    domain text,
    daytime boolean NOT NULL
);

CREATE TABLE public.retention (
    what text NOT NULL,
    until timestamp with time zone NOT NULL
);

CREATE TABLE public.sandbox_message (
    id uuid NOT NULL,
    channel text NOT NULL,
    recipient text NOT NULL,
    sender text NOT NULL,
    subject text,
    body text,
    html text,
    raw bytea,
    details jsonb DEFAULT '{}'::jsonb NOT NULL,
    received_at timestamp with time zone NOT NULL,
    CONSTRAINT sandbox_message_channel_check CHECK ((channel = ANY (ARRAY['email'::text, 'sms'::text])))
);

CREATE TABLE public.schema_version (
    number integer NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

CREATE TABLE public.scope (
    name text NOT NULL,
    prefix text NOT NULL,
    subscope text NOT NULL,
    description text DEFAULT ''::text NOT NULL,
    owner text NOT NULL,
    attributes jsonb DEFAULT '{}'::jsonb NOT NULL,
    active boolean DEFAULT true NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    updated_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

CREATE TABLE public.scope_access (
    scope text NOT NULL,
    consumer text NOT NULL,
    state text NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    updated_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT scope_access_state_check CHECK ((state = ANY (ARRAY['REQUESTED'::text, 'APPROVED'::text, 'DENIED'::text])))
);

CREATE TABLE public.service_owner (
    code text NOT NULL,
    number text,
    name_nb text NOT NULL,
    name_nn text NOT NULL,
    name_en text NOT NULL,
    details jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT service_owner_code_check CHECK ((code ~ '^[a-z0-9]{1,40}$'::text)),
    CONSTRAINT service_owner_number_check CHECK ((number ~ '^[0-9]{9}$'::text))
);

CREATE TABLE public.session (
    id bytea NOT NULL,
    kind text NOT NULL,
    pid text NOT NULL,
    data jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    seen_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT session_kind_check CHECK ((kind = ANY (ARRAY['console'::text, 'altinn'::text, 'idporten'::text])))
);

CREATE TABLE public.signing_key (
    kid text NOT NULL,
    issuer text NOT NULL,
    private bytea NOT NULL,
    public jsonb NOT NULL,
    certificate bytea,
    publish_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    sign_from timestamp with time zone NOT NULL,
    sign_until timestamp with time zone,
    retire_at timestamp with time zone,
    CONSTRAINT signing_key_issuer_check CHECK ((issuer = ANY (ARRAY['maskinporten'::text, 'altinn'::text, 'idporten'::text])))
);

CREATE TABLE public.trusted_issuer (
    issuer text NOT NULL,
    kind text NOT NULL,
    environment text NOT NULL,
    metadata_url text NOT NULL,
    algorithms text[] DEFAULT '{RS256}'::text[] NOT NULL,
    keys jsonb,
    fetched_at timestamp with time zone,
    CONSTRAINT trusted_issuer_environment_check CHECK ((environment = ANY (ARRAY['test'::text, 'production'::text]))),
    CONSTRAINT trusted_issuer_kind_check CHECK ((kind = ANY (ARRAY['maskinporten'::text, 'idporten'::text, 'altinn'::text])))
);

CREATE TABLE public.webhook (
    id uuid NOT NULL,
    creator text NOT NULL,
    url text NOT NULL,
    events text[] NOT NULL,
    secret bytea NOT NULL,
    previous bytea,
    previous_until timestamp with time zone,
    created_at timestamp with time zone NOT NULL,
    failing_since timestamp with time zone,
    failures integer DEFAULT 0 NOT NULL,
    rest_until timestamp with time zone,
    disabled_at timestamp with time zone,
    disabled_why text,
    teller uuid,
    telling_until timestamp with time zone
);

CREATE TABLE public.webhook_attempt (
    id uuid NOT NULL,
    webhook_id uuid NOT NULL,
    message_id text NOT NULL,
    type text NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    status integer,
    detail text DEFAULT ''::text NOT NULL,
    took_ms integer NOT NULL
);

CREATE TABLE public.webhook_event (
    id uuid DEFAULT uuidv7() NOT NULL,
    webhook_id uuid NOT NULL,
    type text NOT NULL,
    seq bigint,
    order_id uuid,
    notification_id uuid,
    status text,
    at timestamp with time zone NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    next_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    tries smallint DEFAULT 0 NOT NULL,
    owner uuid,
    lease_until timestamp with time zone
)
WITH (autovacuum_vacuum_threshold='1000', autovacuum_vacuum_scale_factor='0');

CREATE TABLE public.worker (
    id uuid NOT NULL,
    host text NOT NULL,
    pid integer NOT NULL,
    started_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    heartbeat_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
)
WITH (fillfactor='50', autovacuum_vacuum_threshold='100', autovacuum_vacuum_scale_factor='0');

ALTER TABLE ONLY public.attempt
    ADD CONSTRAINT attempt_pkey PRIMARY KEY (order_id, id);

ALTER TABLE ONLY public.audit_event
    ADD CONSTRAINT audit_event_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.awaiting
    ADD CONSTRAINT awaiting_pkey PRIMARY KEY (notification_id);

ALTER TABLE ONLY public.calendar
    ADD CONSTRAINT calendar_pkey PRIMARY KEY (singleton);

ALTER TABLE ONLY public.client_key
    ADD CONSTRAINT client_key_pkey PRIMARY KEY (client_id, kid);

ALTER TABLE ONLY public.client_onbehalfof
    ADD CONSTRAINT client_onbehalfof_pkey PRIMARY KEY (client_id, name);

ALTER TABLE ONLY public.client
    ADD CONSTRAINT client_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.client_scope
    ADD CONSTRAINT client_scope_pkey PRIMARY KEY (client_id, scope);

ALTER TABLE ONLY public.contact_identity
    ADD CONSTRAINT contact_identity_pkey PRIMARY KEY (urn);

ALTER TABLE ONLY public.contact_organization
    ADD CONSTRAINT contact_organization_pkey PRIMARY KEY (number);

ALTER TABLE ONLY public.contact_person
    ADD CONSTRAINT contact_person_pkey PRIMARY KEY (pid);

ALTER TABLE ONLY public.contact_user
    ADD CONSTRAINT contact_user_pkey PRIMARY KEY (number, "position");

ALTER TABLE ONLY public.delegation
    ADD CONSTRAINT delegation_pkey PRIMARY KEY (consumer, supplier, scope);

ALTER TABLE ONLY public.due
    ADD CONSTRAINT due_pkey PRIMARY KEY (order_id);

ALTER TABLE ONLY public.fed
    ADD CONSTRAINT fed_pkey PRIMARY KEY (order_id);

ALTER TABLE ONLY public.feed_counter
    ADD CONSTRAINT feed_counter_pkey PRIMARY KEY (singleton);

ALTER TABLE ONLY public.feed_pending
    ADD CONSTRAINT feed_pending_pkey PRIMARY KEY (mark);

ALTER TABLE ONLY public.feed
    ADD CONSTRAINT feed_pkey PRIMARY KEY (creator, seq);

ALTER TABLE ONLY public.grant_replay
    ADD CONSTRAINT grant_replay_pkey PRIMARY KEY (issuer, key);

ALTER TABLE ONLY public.handoff
    ADD CONSTRAINT handoff_notification_id_key UNIQUE (notification_id);

ALTER TABLE ONLY public.handoff
    ADD CONSTRAINT handoff_pkey PRIMARY KEY (attempt_id);

ALTER TABLE ONLY public.idempotency
    ADD CONSTRAINT idempotency_pkey PRIMARY KEY (creator, family, key_hash);

ALTER TABLE ONLY public.login_failure
    ADD CONSTRAINT login_failure_pkey PRIMARY KEY (pid);

ALTER TABLE ONLY public.metric_monthly
    ADD CONSTRAINT metric_monthly_pkey PRIMARY KEY (month, creator);

ALTER TABLE ONLY public.notification_log
    ADD CONSTRAINT notification_log_pkey PRIMARY KEY (order_id, notification_id);

ALTER TABLE ONLY public.notification
    ADD CONSTRAINT notification_pkey PRIMARY KEY (order_id, id);

ALTER TABLE ONLY public.oidc_transaction
    ADD CONSTRAINT oidc_transaction_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.order_content
    ADD CONSTRAINT order_content_pkey PRIMARY KEY (order_id);

ALTER TABLE ONLY public.orders
    ADD CONSTRAINT orders_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.organisation
    ADD CONSTRAINT organisation_pkey PRIMARY KEY (number);

ALTER TABLE ONLY public.pacing
    ADD CONSTRAINT pacing_pkey PRIMARY KEY (scope, slice);

ALTER TABLE ONLY public.parked_report
    ADD CONSTRAINT parked_report_pkey PRIMARY KEY (report_id);

ALTER TABLE ONLY public.person
    ADD CONSTRAINT person_pkey PRIMARY KEY (pid);

ALTER TABLE ONLY public.platform_issuer
    ADD CONSTRAINT platform_issuer_pkey PRIMARY KEY (issuer, thumbprint);

ALTER TABLE ONLY public.prefix
    ADD CONSTRAINT prefix_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.provider_reference
    ADD CONSTRAINT provider_reference_pkey PRIMARY KEY (provider, reference);

ALTER TABLE ONLY public.provider_state
    ADD CONSTRAINT provider_state_pkey PRIMARY KEY (provider);

ALTER TABLE ONLY public.rate_limit
    ADD CONSTRAINT rate_limit_pkey PRIMARY KEY (scope, slice);

ALTER TABLE ONLY public.ready
    ADD CONSTRAINT ready_pkey PRIMARY KEY (notification_id);

ALTER TABLE ONLY public.report
    ADD CONSTRAINT report_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.reserve
    ADD CONSTRAINT reserve_pkey PRIMARY KEY (order_id, id);

ALTER TABLE ONLY public.retention
    ADD CONSTRAINT retention_pkey PRIMARY KEY (what);

ALTER TABLE ONLY public.sandbox_message
    ADD CONSTRAINT sandbox_message_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.schema_version
    ADD CONSTRAINT schema_version_pkey PRIMARY KEY (number);

ALTER TABLE ONLY public.scope_access
    ADD CONSTRAINT scope_access_pkey PRIMARY KEY (scope, consumer);

ALTER TABLE ONLY public.scope
    ADD CONSTRAINT scope_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.service_owner
    ADD CONSTRAINT service_owner_pkey PRIMARY KEY (code);

ALTER TABLE ONLY public.session
    ADD CONSTRAINT session_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.signing_key
    ADD CONSTRAINT signing_key_pkey PRIMARY KEY (kid);

ALTER TABLE ONLY public.trusted_issuer
    ADD CONSTRAINT trusted_issuer_pkey PRIMARY KEY (issuer);

ALTER TABLE ONLY public.webhook_attempt
    ADD CONSTRAINT webhook_attempt_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.webhook_event
    ADD CONSTRAINT webhook_event_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.webhook
    ADD CONSTRAINT webhook_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.worker
    ADD CONSTRAINT worker_pkey PRIMARY KEY (id);

CREATE INDEX audit_event_organisation ON ONLY public.audit_event USING btree (organisation, id);

CREATE INDEX awaiting_poll ON public.awaiting USING btree (poll_at) WHERE (poll_at IS NOT NULL);

CREATE INDEX awaiting_until ON public.awaiting USING btree (until, notification_id) WHERE (until < 'infinity'::timestamp with time zone);

CREATE INDEX client_key_thumbprint ON public.client_key USING btree (thumbprint);

CREATE INDEX client_organisation ON public.client USING btree (organisation);

CREATE INDEX due_leased ON public.due USING btree (lease_until) WHERE (owner IS NOT NULL);

CREATE INDEX due_waiting ON public.due USING btree (due_at, order_id) WHERE (owner IS NULL);

CREATE INDEX feed_created ON ONLY public.feed USING btree (created_at);

CREATE INDEX grant_replay_expires ON public.grant_replay USING btree (expires_at);

CREATE INDEX handoff_held ON public.handoff USING btree (expires_at) WHERE ((unknown_at IS NOT NULL) AND (settle_at IS NULL));

CREATE INDEX handoff_order ON public.handoff USING btree (order_id);

CREATE INDEX handoff_settle ON public.handoff USING btree (settle_at) WHERE (settle_at IS NOT NULL);

CREATE INDEX handoff_worker ON public.handoff USING btree (worker);

CREATE INDEX idempotency_chain ON public.idempotency USING btree (chain_id);

CREATE UNIQUE INDEX membership_unique ON public.membership USING btree (pid, role, COALESCE(organisation, ''::text));

CREATE INDEX metric_daily_day ON public.metric_daily USING btree (day, creator);

CREATE INDEX notification_log_dialog ON ONLY public.notification_log USING btree ("left"(dialog_id, 64), creator) WHERE (dialog_id IS NOT NULL);

CREATE INDEX notification_log_transmission ON ONLY public.notification_log USING btree ("left"(transmission_id, 64), creator) WHERE (transmission_id IS NOT NULL);

CREATE INDEX notification_recipient ON ONLY public.notification USING btree (recipient_key, order_id) WHERE (recipient_key IS NOT NULL);

CREATE INDEX notification_status_at ON ONLY public.notification USING brin (status_at) WITH (autosummarize='on');

CREATE INDEX oidc_transaction_expires ON public.oidc_transaction USING btree (expires_at);

CREATE INDEX oidc_transaction_family ON public.oidc_transaction USING btree (family) WHERE (family IS NOT NULL);

CREATE INDEX orders_chain ON ONLY public.orders USING btree (chain_id) WHERE (chain_id IS NOT NULL);

CREATE INDEX orders_ended ON ONLY public.orders USING brin (ended_at) WITH (autosummarize='on');

CREATE INDEX orders_reference ON ONLY public.orders USING btree (creator, hashtextextended(senders_reference, (0)::bigint)) WHERE (senders_reference IS NOT NULL);

CREATE INDEX orders_requested ON ONLY public.orders USING btree (requested_at, creator);

CREATE INDEX parked_report_dead ON public.parked_report USING btree (dead_at) WHERE (dead_at IS NOT NULL);

CREATE INDEX parked_report_give_up ON public.parked_report USING btree (give_up_at) WHERE (dead_at IS NULL);

CREATE INDEX parked_report_reference ON public.parked_report USING btree (provider, reference) WHERE (reference IS NOT NULL);

CREATE INDEX ready_expiring ON public.ready USING btree (expires_at);

CREATE INDEX ready_leased ON public.ready USING btree (lease_until) WHERE (owner IS NOT NULL);

CREATE INDEX ready_order ON public.ready USING btree (order_id);

CREATE INDEX ready_waiting ON public.ready USING btree (channel, lane, ready_at, notification_id) WHERE (owner IS NULL);

CREATE INDEX sandbox_message_recipient ON public.sandbox_message USING btree (channel, lower(recipient), id);

CREATE INDEX sandbox_message_unread ON public.sandbox_message USING btree (id) WHERE (body IS NULL);

CREATE INDEX scope_access_consumer ON public.scope_access USING btree (consumer);

CREATE UNIQUE INDEX service_owner_number ON public.service_owner USING btree (number) WHERE (number IS NOT NULL);

CREATE INDEX session_expires ON public.session USING btree (expires_at);

CREATE INDEX signing_key_issuer ON public.signing_key USING btree (issuer, sign_from);

CREATE INDEX webhook_attempt_webhook ON public.webhook_attempt USING btree (webhook_id, at);

CREATE INDEX webhook_creator ON public.webhook USING btree (creator);

CREATE INDEX webhook_event_leased ON public.webhook_event USING btree (lease_until) WHERE (owner IS NOT NULL);

CREATE INDEX webhook_event_waiting ON public.webhook_event USING btree (webhook_id, next_at, id) WHERE (owner IS NULL);

ALTER TABLE ONLY public.client_key
    ADD CONSTRAINT client_key_client_id_fkey FOREIGN KEY (client_id) REFERENCES public.client(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.client_onbehalfof
    ADD CONSTRAINT client_onbehalfof_client_id_fkey FOREIGN KEY (client_id) REFERENCES public.client(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.client
    ADD CONSTRAINT client_organisation_fkey FOREIGN KEY (organisation) REFERENCES public.organisation(number);

ALTER TABLE ONLY public.client_scope
    ADD CONSTRAINT client_scope_client_id_fkey FOREIGN KEY (client_id) REFERENCES public.client(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.client
    ADD CONSTRAINT client_supplier_fkey FOREIGN KEY (supplier) REFERENCES public.organisation(number);

ALTER TABLE ONLY public.contact_user
    ADD CONSTRAINT contact_user_number_fkey FOREIGN KEY (number) REFERENCES public.contact_organization(number) ON DELETE CASCADE;

ALTER TABLE ONLY public.delegation
    ADD CONSTRAINT delegation_consumer_fkey FOREIGN KEY (consumer) REFERENCES public.organisation(number);

ALTER TABLE ONLY public.delegation
    ADD CONSTRAINT delegation_supplier_fkey FOREIGN KEY (supplier) REFERENCES public.organisation(number);

ALTER TABLE ONLY public.membership
    ADD CONSTRAINT membership_organisation_fkey FOREIGN KEY (organisation) REFERENCES public.organisation(number);

ALTER TABLE ONLY public.prefix
    ADD CONSTRAINT prefix_owner_fkey FOREIGN KEY (owner) REFERENCES public.organisation(number);

ALTER TABLE ONLY public.scope_access
    ADD CONSTRAINT scope_access_consumer_fkey FOREIGN KEY (consumer) REFERENCES public.organisation(number);

ALTER TABLE ONLY public.scope_access
    ADD CONSTRAINT scope_access_scope_fkey FOREIGN KEY (scope) REFERENCES public.scope(name);

ALTER TABLE ONLY public.scope
    ADD CONSTRAINT scope_owner_fkey FOREIGN KEY (owner) REFERENCES public.organisation(number);

ALTER TABLE ONLY public.scope
    ADD CONSTRAINT scope_prefix_fkey FOREIGN KEY (prefix) REFERENCES public.prefix(name);

ALTER TABLE ONLY public.webhook_attempt
    ADD CONSTRAINT webhook_attempt_webhook_id_fkey FOREIGN KEY (webhook_id) REFERENCES public.webhook(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.webhook_event
    ADD CONSTRAINT webhook_event_webhook_id_fkey FOREIGN KEY (webhook_id) REFERENCES public.webhook(id) ON DELETE CASCADE;
