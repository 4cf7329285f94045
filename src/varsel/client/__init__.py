"""The Python SDK of the Notifications API."""
