"""Plumbing that knows no word of shop or market."""
