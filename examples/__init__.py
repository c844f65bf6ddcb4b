"""Services beside Tradepost that follow its events."""
