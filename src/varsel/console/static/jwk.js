// The key page: makes a key, registers its public half, fetches a token with it. The private half lives in `key` and in fields
// that no form holds; what is sent is the public half, a signed grant, and the tokens themselves.

import "./copy.js";
import { decode, encodedJwk, isKid, makeKey, publicHalf, readKey, sign } from "./keys.js";

const element = (id) => document.getElementById(id);
const workshop = element("workshop");
const words = JSON.parse(workshop.dataset.words);
const word = (name, value) => words[name].replace("{}", value ?? "");
const pretty = (value) => JSON.stringify(value, null, 2);
const GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/** Seconds that a grant lives; 120 is the most that counts. */
const LIFE = 100;

let key = null;

if (window.isSecureContext && crypto.subtle) {
  workshop.hidden = false;
} else {
  element("insecure").hidden = false;
}

function tell(id, text, good = true) {
  const line = element(id);
  line.textContent = text;
  line.classList.toggle("bad", !good);
}

async function busy(button, work) {
  // aria-disabled keeps the focus where it is; a disabled button would lose it.
  if (button.getAttribute("aria-disabled") === "true") return;
  button.setAttribute("aria-disabled", "true");
  try {
    await work();
  } finally {
    button.removeAttribute("aria-disabled");
  }
}

function take(made) {
  key = made;
  element("public").value = pretty(publicHalf(key));
  element("encoded").value = encodedJwk(key);
  element("pair").value = pretty(key);
  element("set").value = pretty({ keys: [key] });
  element("outputs").hidden = false;
}

element("generate").addEventListener("click", (event) =>
  busy(event.currentTarget, async () => {
    const kid = element("kid").value.trim();
    element("kid").toggleAttribute("aria-invalid", !isKid(kid));
    if (!isKid(kid)) return tell("made", word("jwk_bad_kid"), false);
    tell("made", word("jwk_working"));
    try {
      take(await makeKey({ bits: Number(element("bits").value), alg: element("alg").value, kid }));
      tell("made", word("jwk_made"));
    } catch {
      tell("made", word("jwk_failed"), false);
    }
  }),
);

element("use-own").addEventListener("click", (event) =>
  busy(event.currentTarget, async () => {
    try {
      take(await readKey(element("own").value));
      element("own").value = "";
      tell("made", word("own_key_good", key.kid));
    } catch {
      tell("made", word("own_key_bad"), false);
    }
  }),
);

for (const button of document.querySelectorAll("[data-download]")) {
  button.addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([element(button.dataset.download).value], { type: "application/octet-stream" }));
    link.download = `${key.kid}-${button.dataset.file}`;
    link.click();
    URL.revokeObjectURL(link.href);
  });
}

const chosen = () => element("integration").selectedOptions[0];

element("register")?.addEventListener("click", (event) =>
  busy(event.currentTarget, async () => {
    if (!key) return tell("registered", word("jwk_first_make"), false);
    tell("registered", word("jwk_registering"));
    const body = new URLSearchParams({ csrf: workshop.dataset.csrf, keys: pretty([publicHalf(key)]) });
    try {
      const answer = await fetch(`${chosen().dataset.url}/keys`, {
        method: "POST",
        headers: { accept: "application/json" },
        body,
      });
      const said = await answer.json();
      if (answer.ok) tell("registered", word("jwk_registered", said.name));
      else tell("registered", said.message, false);
    } catch {
      tell("registered", word("jwk_register_failed"), false);
    }
  }),
);

element("integration")?.addEventListener("change", () => {
  if (element("scope")) element("scope").value = chosen().dataset.scopes;
});

// Try it

function node(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  return made;
}

/** One call or answer: a heading, the message as it is, and every token in it decoded. */
function show(number, message, tokens = [], more = null) {
  const box = node("section", undefined, { class: "call", "aria-labelledby": `call-${number}` });
  box.append(node("h3", word(`try_${number}`), { id: `call-${number}` }));
  box.append(node("pre", message, { tabindex: "0", "aria-labelledby": `call-${number}` }));
  for (const token of tokens) {
    const { header, claims } = decode(token);
    for (const [name, value] of [["try_header", header], ["try_claims", claims]]) {
      box.append(node("h4", word(name)), node("pre", pretty(value), { tabindex: "0" }));
    }
  }
  if (more) box.append(more);
  element("calls").append(box);
}

class Stopped extends Error {}

async function call(number, request, url, options) {
  show(number, request);
  try {
    return await fetch(url, { cache: "no-store", credentials: "omit", ...options });
  } catch {
    throw new Stopped(word("try_unreachable"));
  }
}

/** A link to the page about a refusal; only our own help pages are linked. */
function help(body) {
  const page = /\/(MP-\d{3}|[a-z-]{1,40})$/.exec(body.error_uri ?? "")?.[1];
  if (!page) return null;
  const line = node("p");
  const link = { class: "ds-link", href: `/maskinporten/errors/${page}`, target: "_blank", rel: "noopener" };
  line.append(node("a", word("try_help", page.startsWith("MP-") ? page : body.error), link));
  return line;
}

async function run() {
  if (!key) return tell("tried", word("jwk_first_make"), false);
  element("calls").replaceChildren();
  element("token-box").hidden = true;
  tell("tried", word("try_running"));
  const described = await fetch("/maskinporten/.well-known/oauth-authorization-server", { cache: "no-store" });
  const { issuer, token_endpoint: endpoint } = await described.json();
  // A grant must carry the server's time within ten seconds; the clock of this computer may be off by more.
  const said = Date.parse(described.headers.get("date") ?? "");
  const now = Math.floor((Number.isNaN(said) ? Date.now() : said) / 1000);
  const claims = {
    aud: issuer,
    iss: element("integration").value,
    scope: element("scope").value.trim().replace(/\s+/g, " "),
    iat: now,
    exp: now + LIFE,
    jti: crypto.randomUUID(),
  };
  const assertion = await sign(key, claims);
  show(1, assertion, [assertion]);

  const body = new URLSearchParams({ grant_type: GRANT, assertion });
  const first = `POST ${endpoint}\nContent-Type: application/x-www-form-urlencoded\n\ngrant_type=${encodeURIComponent(GRANT)}\n&assertion=${assertion}`;
  const answer = await call(2, first, new URL(endpoint).pathname, { method: "POST", body });
  const granted = await answer.json();
  const status = `${answer.status} ${answer.statusText}\n\n`;
  if (!answer.ok) {
    show(3, status + pretty(granted), [], help(granted));
    throw new Stopped(word("try_failed"));
  }
  show(3, status + pretty(granted), [granted.access_token]);

  const path = "/authentication/api/v1/exchange/maskinporten";
  const bearer = `Bearer ${granted.access_token}`;
  const second = `GET ${workshop.dataset.base}${path}\nAuthorization: ${bearer}`;
  const exchanged = await call(4, second, path, { headers: { authorization: bearer } });
  const token = await exchanged.text();
  const line = `${exchanged.status} ${exchanged.statusText}\n\n`;
  if (!exchanged.ok) {
    show(5, line + token);
    throw new Stopped(word("try_failed"));
  }
  show(5, line + token, [token]);
  element("token").value = token;
  element("token-box").hidden = false;
  tell("tried", word("try_done"));
}

element("try")?.addEventListener("click", (event) =>
  busy(event.currentTarget, async () => {
    try {
      await run();
    } catch (error) {
      tell("tried", error instanceof Stopped ? error.message : word("try_failed"), false);
    }
  }),
);
