-- Issuers of platform access tokens (docs/reference/identity.md 6.6).

-- name: platform_issuers
-- Every certificate that counts.
select issuer, thumbprint, certificate, trusted from platform_issuer where not withdrawn;

-- name: platform_issuer_list
-- Every certificate with its standing, for people.
select issuer, thumbprint, certificate, trusted, withdrawn, created_at
from platform_issuer order by issuer, created_at;

-- name: upsert_platform_issuer
-- Register a certificate of an issuer, or bring a withdrawn one back.
insert into platform_issuer (issuer, thumbprint, certificate, private, trusted)
values ($1, $2, $3, $4, $5)
on conflict (issuer, thumbprint) do update
set withdrawn = false, trusted = excluded.trusted, private = coalesce(excluded.private, platform_issuer.private);

-- name: withdraw_platform_issuer
-- Certificates of issuer $1 count no more: all, or only $2.
update platform_issuer set withdrawn = true
where issuer = $1 and ($2::text is null or thumbprint = $2) and not withdrawn returning thumbprint;

-- name: platform_signer
-- The newest certificate of issuer $1 whose private key Varsel holds.
select thumbprint, certificate, private, trusted from platform_issuer
where issuer = $1 and private is not null and not withdrawn order by created_at desc limit 1;
