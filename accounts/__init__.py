"""Business: users, passwords, tokens and roles."""
