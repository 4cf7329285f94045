"""The reading side of the Notifications API, row by row."""
