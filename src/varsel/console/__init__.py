"""Console: server-rendered pages for people."""
