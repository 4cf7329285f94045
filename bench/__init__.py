"""Benchmarks: ratios, each with both sides measured in the same run (`make bench`)."""
