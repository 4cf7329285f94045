// RSA signing keys as JWK, made and used by WebCrypto (RFC 7517, RFC 7518). Nothing here speaks to a network.

const PRIVATE = ["d", "p", "q", "dp", "dq", "qi"];
const HASHES = { RS256: "SHA-256", RS384: "SHA-384", RS512: "SHA-512" };
const KID = /^[A-Za-z0-9._-]{1,255}$/;

export const isKid = (text) => KID.test(text);

/** A new private JWK with every member that the .NET libraries ask for. */
export async function makeKey({ bits, alg, kid }) {
  const pair = await crypto.subtle.generateKey(
    { name: "RSASSA-PKCS1-v1_5", modulusLength: bits, publicExponent: new Uint8Array([1, 0, 1]), hash: HASHES[alg] },
    true,
    ["sign", "verify"],
  );
  return arranged(await crypto.subtle.exportKey("jwk", pair.privateKey), alg, kid);
}

function arranged(jwk, alg, kid) {
  const key = { kty: "RSA", use: "sig", alg, kid, e: jwk.e, n: jwk.n };
  for (const name of PRIVATE) key[name] = jwk[name];
  return key;
}

export function publicHalf(key) {
  return { kty: key.kty, use: key.use, alg: key.alg, kid: key.kid, e: key.e, n: key.n };
}

/** The private key in plain base64, as the setting EncodedJwk takes it. */
export function encodedJwk(key) {
  return btoa(String.fromCharCode(...new TextEncoder().encode(JSON.stringify(key))));
}

/** A private JWK out of JSON or EncodedJwk; throws when the text is neither, or the key does not sign. */
export async function readKey(text) {
  const plain = text.trim().replace(/^\ufeff/, "");
  const json = plain.startsWith("{") ? plain : atob(plain.replace(/\s+/g, "").replace(/-/g, "+").replace(/_/g, "/"));
  const jwk = JSON.parse(json);
  const alg = jwk.alg ?? "RS256";
  if (jwk.kty !== "RSA" || !(alg in HASHES) || !isKid(jwk.kid ?? "") || !PRIVATE.every((name) => jwk[name])) {
    throw new Error("not a private RSA key");
  }
  const key = arranged(jwk, alg, jwk.kid);
  await signingKey(key);
  return key;
}

function signingKey(key) {
  const algorithm = { name: "RSASSA-PKCS1-v1_5", hash: HASHES[key.alg] };
  return crypto.subtle.importKey("jwk", { ...key, ext: true }, algorithm, false, ["sign"]);
}

function base64url(bytes) {
  return btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

/** A compact JWS of the claims. */
export async function sign(key, claims) {
  const part = (value) => base64url(new TextEncoder().encode(JSON.stringify(value)));
  const signed = `${part({ alg: key.alg, kid: key.kid })}.${part(claims)}`;
  const algorithm = { name: "RSASSA-PKCS1-v1_5" };
  const signature = await crypto.subtle.sign(algorithm, await signingKey(key), new TextEncoder().encode(signed));
  return `${signed}.${base64url(new Uint8Array(signature))}`;
}

/** Header and claims of a token, unverified: for showing. */
export function decode(token) {
  const [header, claims] = token.split(".").slice(0, 2).map((part) => {
    const text = atob(part.replace(/-/g, "+").replace(/_/g, "/"));
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(text, (letter) => letter.charCodeAt(0))));
  });
  return { header, claims };
}
