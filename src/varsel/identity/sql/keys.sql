-- Signing keys of our own issuers.

-- name: signing_keys
-- Every key that is not long retired, oldest first.
select kid, issuer, private, public, certificate, publish_at, sign_from, sign_until, retire_at
from signing_key
where retire_at is null or retire_at > $1
order by issuer, sign_from, kid;

-- name: lock_keys
-- One process at a time changes keys; held to the end of the transaction.
select pg_advisory_xact_lock(x'56415253454c4b'::bigint);

-- name: newest_key
-- The key of issuer $1 that signs last, if there is one that still may.
select kid, sign_from from signing_key
where issuer = $1 and (retire_at is null or retire_at > $2) and (sign_until is null or sign_until > $2)
order by sign_from desc limit 1;

-- name: insert_key
-- A new key of issuer $2, published at $6, signing from $7.
insert into signing_key (kid, issuer, private, public, certificate, publish_at, sign_from)
values ($1, $2, $3, $4::jsonb, $5, $6, $7);

-- name: end_signing
-- Keys of issuer $1 other than $2 sign until $3 and are shown until $4.
update signing_key set sign_until = $3, retire_at = $4
where issuer = $1 and kid <> $2 and sign_until is null;

-- name: withdraw_key
-- Key $1 counts no more from $2 on; the issuer's name when the key exists.
update signing_key set sign_until = least(sign_until, $2), retire_at = $2 where kid = $1 returning issuer;
