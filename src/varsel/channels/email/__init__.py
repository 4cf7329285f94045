"""E-mail: addresses, message bytes, SMTP sending, bounce addresses and delivery status notifications.

A provider is one module that follows `varsel.channels.model.Channel`; `smtp` is the first.
"""
