"""Identity: tokens, policies, keys, integrations and login."""
