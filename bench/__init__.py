"""Benchmarks against peers: both sides in one run, on private servers; only ratios count."""
