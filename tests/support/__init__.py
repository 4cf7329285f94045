"""What several test folders stand on: databases, polling, a running world."""
