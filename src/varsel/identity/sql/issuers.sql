-- Trusted issuers other than ourselves.

-- name: upsert_issuer
-- An issuer named by the settings; the keys last fetched from it stay.
insert into trusted_issuer (issuer, kind, environment, metadata_url, algorithms) values ($1, $2, $3, $4, $5)
on conflict (issuer) do update set kind = excluded.kind, environment = excluded.environment,
    keys = case when trusted_issuer.metadata_url = excluded.metadata_url then trusted_issuer.keys end,
    metadata_url = excluded.metadata_url, algorithms = excluded.algorithms
returning keys, fetched_at;

-- name: store_issuer_keys
-- The keys fetched from issuer $1 at $3.
update trusted_issuer set keys = $2::jsonb, fetched_at = $3 where issuer = $1;
