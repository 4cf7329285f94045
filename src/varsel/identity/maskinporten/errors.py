"""Refusals of the token endpoint: error, status, words and the MP code (docs/reference/identity.md 2.9)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from varsel.runtime.errors import VarselError


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table. `advice` tells the developer what to do, in English and Norwegian, on the help page.

    `name` is the page's last part where the table has no code: such an `error_uri` is our addition, and a reader of codes sees none.
    """

    code: str | None
    error: str
    status: int
    text: str
    advice: str
    advice_nb: str
    name: str = ""

    @property
    def page(self) -> str:
        """Last part of the help page's address."""
        return self.code or self.name


INVALID = "invalid_request"
GRANT = "invalid_grant"
_LEAD = "Invalid assertion. "

PARAMETER: Final = Rule(
    "MP-011",
    INVALID,
    400,
    _LEAD + "Invalid parameter value",
    "The grant cannot be read, or one of its parts has a wrong form. Check that the assertion is one line with three parts, and the type of every claim.",
    "Tildelingen kan ikke leses, eller en del av den har feil form. Se at den er én linje med tre deler, og se på typen til hvert krav.",
)
USED: Final = Rule(
    "MP-012",
    GRANT,
    400,
    _LEAD + "Grant is used before",
    "Every grant counts once. Make a new one with a new jti for each request.",
    "Hver tildeling gjelder én gang. Lag en ny med ny jti for hver forespørsel.",
)
CLIENT: Final = Rule(
    "MP-100",
    GRANT,
    400,
    _LEAD + "Client authentication failed. Client not found",
    "iss names no active integration in this environment. Copy «Integrasjonens identifikator» from the portal.",
    "iss peker ikke på en aktiv integrasjon i dette miljøet. Kopier «Integrasjonens identifikator» fra portalen.",
)
AUDIENCE: Final = Rule(
    "MP-110",
    GRANT,
    400,
    _LEAD + "Invalid JWT claim aud",
    "aud must be the issuer of this environment, with its trailing slash, and nothing else. Take it from the metadata.",
    "aud må være utstederen for dette miljøet, med skråstreken til slutt, og ikke noe annet. Ta den fra metadata.",
)
CERTIFICATE: Final = Rule(
    "MP-120",
    GRANT,
    400,
    _LEAD + "The JWT is signed with an invalid certificate.",
    "The certificate is not issued by a trusted issuer of this environment, or its time is out.",
    "Sertifikatet er ikke utstedt av en klarert utsteder i dette miljøet, eller det er utløpt.",
)
KEY_EXPIRED: Final = Rule(
    "MP-121",
    GRANT,
    400,
    _LEAD + "Client authentication failed. Expired key.",
    "The registered key has expired. Register a new key, or the same one again.",
    "Den registrerte nøkkelen er utløpt. Legg inn en ny nøkkel, eller den samme på nytt.",
)
CERTIFICATE_ORGANISATION: Final = Rule(
    "MP-122",
    GRANT,
    400,
    _LEAD + "Invalid organization number for client. Does not match certificate orgno",
    "The certificate belongs to another organisation than the integration.",
    "Sertifikatet tilhører en annen virksomhet enn integrasjonen.",
)
X5C: Final = Rule(
    "MP-123",
    GRANT,
    400,
    _LEAD + "Invalid JWT header x5c",
    "x5c is an array of standard base64 texts with the signer's certificate first, and is only for integrations without registered keys.",
    "x5c er en liste av vanlige base64-tekster med signererens sertifikat først, og er bare for integrasjoner uten registrerte nøkler.",
)
SIGNATURE: Final = Rule(
    "MP-124",
    GRANT,
    400,
    _LEAD + "Invalid JWT signature",
    "The signature does not fit the registered public key. Is the private key the other half of the registered one?",
    "Signaturen passer ikke til den registrerte nøkkelen. Er den private nøkkelen den andre halvdelen?",
)
EXPIRED: Final = Rule(
    "MP-130",
    GRANT,
    400,
    _LEAD + "JWT is expired",
    "The grant is too old, or the clock is wrong by more than 10 seconds. Compare it with the Date header of the answer.",
    "Tildelingen er for gammel, eller klokken går mer enn 10 sekunder feil. Sammenlign med Date i svaret.",
)
FUTURE: Final = Rule(
    None,
    GRANT,
    400,
    _LEAD + "Issue time is after now",
    "iat or nbf lies more than 10 seconds ahead: your clock is fast. Compare it with the Date header of the answer.",
    "iat eller nbf ligger mer enn 10 sekunder fram i tid: klokken din går for fort. Sammenlign med Date i svaret.",
    "issue-time",
)
UNKNOWN_KEY: Final = Rule(
    None,
    GRANT,
    400,
    _LEAD + "Unknown key identifier (kid) for client",
    "No key of this name is registered on the integration. Compare kid in the grant's header with «Egne public nøkler», letter by letter.",
    "Ingen nøkkel med dette navnet er registrert på integrasjonen. Sammenlign kid i hodet med «Egne public nøkler», bokstav for bokstav.",
    "unknown-key",
)
KEY_MISSING: Final = Rule(
    None,
    GRANT,
    400,
    _LEAD + "The client requires pre-registered jwk and no key identifier (kid) provided",
    "The integration has registered keys: name the one that signed in the header kid.",
    "Integrasjonen har registrerte nøkler: oppgi hvilken som har signert, i kid i hodet.",
    "key-missing",
)
SCOPE_UNREGISTERED: Final = Rule(
    "MP-200",
    "invalid_scope",
    400,
    "Token request contains invalid scopes for client",
    "The scope was never added to the integration. Add it under «Legge til scopes».",
    "Scopet er ikke lagt til på integrasjonen. Legg det til under «Legge til scopes».",
)
SCOPE_KIND: Final = Rule(
    "MP-201",
    "invalid_scope",
    400,
    "Token request contains scopes not allowed for maskinporten",
    "The owner of the scope does not let machines use it.",
    "Eieren av scopet lar ikke maskiner bruke det.",
)
SCOPE_FORM: Final = Rule(
    None,
    "invalid_scope",
    400,
    _LEAD + "Invalid JWT claim scope",
    "scope is one text with names between single spaces, each once and at most fifty.",
    "scope er én tekst med navn skilt av enkle mellomrom, hvert navn én gang og høyst femti.",
    "scope-form",
)
OWN_CONSUMER: Final = Rule(
    None,
    INVALID,
    400,
    "The combination consumer_org in claim and delegation scope on client is invalid",
    "consumer_org is for suppliers and names another organisation. For your own, leave it out.",
    "consumer_org er for leverandører og peker på en annen virksomhet. Utelat den for din egen.",
    "own-consumer",
)
NOT_GRANTED: Final = Rule(
    "MP-250",
    "forbidden",
    403,
    "Consumer has not been granted access to the scope",
    "The organisation was never given the scope by its owner, or it was taken back. Ask the owner of the scope.",
    "Virksomheten har ikke fått scopet av eieren, eller det er trukket tilbake. Spør eieren av scopet.",
)
NOT_DELEGATED: Final = Rule(
    "MP-251",
    "forbidden",
    403,
    "Consumer has not delegated access to the scope",
    "The consumer must delegate the scope to its supplier first.",
    "Konsumenten må først delegere scopet til leverandøren.",
)
DETAILS_TYPE: Final = Rule(
    "MP-301",
    INVALID,
    400,
    "Unknown authorization details type",
    "Only the type urn:altinn:systemuser is served.",
    "Bare typen urn:altinn:systemuser finnes her.",
)
DETAILS_FIELD: Final = Rule(
    "MP-302",
    INVALID,
    400,
    "Unknown fields in the authorization details",
    "Fields are type, systemuser_org and externalRef.",
    "Feltene er type, systemuser_org og externalRef.",
)
DETAILS_VALUE: Final = Rule(
    "MP-303",
    INVALID,
    400,
    "Invalid authorization details values",
    "One entry, an organisation that your own may act for, and a short externalRef.",
    "Én oppføring, en virksomhet som din egen kan opptre for, og en kort externalRef.",
)
REQUEST: Final = Rule(
    None,
    INVALID,
    400,
    "The request must be a form with grant_type and assertion, each once",
    "POST with Content-Type application/x-www-form-urlencoded, both parameters in the body and nothing in the query.",
    "POST med Content-Type application/x-www-form-urlencoded, begge parametre i kroppen og ingenting i adressen.",
    "request",
)
GRANT_TYPE: Final = Rule(
    None,
    "unsupported_grant_type",
    400,
    "Only urn:ietf:params:oauth:grant-type:jwt-bearer is served",
    "Set grant_type to urn:ietf:params:oauth:grant-type:jwt-bearer.",
    "Sett grant_type til urn:ietf:params:oauth:grant-type:jwt-bearer.",
    "grant-type",
)
TOO_MANY: Final = Rule(
    None,
    "temporarily_unavailable",
    429,
    "Too many requests",
    "Wait as long as Retry-After says. A token lives two minutes and serves many calls: keep it.",
    "Vent så lenge Retry-After sier. Et token lever i to minutter og holder til mange kall: ta vare på det.",
    "too-many",
)

#: last part of the address -> rule, for the help pages.
BY_PAGE: Final = {
    rule.page: rule
    for rule in (
        PARAMETER,
        USED,
        CLIENT,
        AUDIENCE,
        CERTIFICATE,
        KEY_EXPIRED,
        CERTIFICATE_ORGANISATION,
        X5C,
        SIGNATURE,
        EXPIRED,
        FUTURE,
        UNKNOWN_KEY,
        KEY_MISSING,
        SCOPE_UNREGISTERED,
        SCOPE_KIND,
        SCOPE_FORM,
        OWN_CONSUMER,
        NOT_GRANTED,
        NOT_DELEGATED,
        DETAILS_TYPE,
        DETAILS_FIELD,
        DETAILS_VALUE,
        REQUEST,
        GRANT_TYPE,
        TOO_MANY,
    )
}


class Refusal(VarselError):
    """The token endpoint says no. `text` replaces the rule's words; it may quote scopes and organisation numbers, nothing else."""

    def __init__(self, rule: Rule, text: str | None = None) -> None:
        super().__init__(text or rule.text)
        self.rule = rule
        self.text = text or rule.text
