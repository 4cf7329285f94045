"""The outside: one folder per kind of message, one module per provider.

`model` is the protocol that all of them follow, `registry` opens them from the settings
`VARSEL_EMAIL_URL` and `VARSEL_SMS_URL`. A channel has no database and no clock of its own.
"""
