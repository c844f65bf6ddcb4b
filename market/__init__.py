"""Business: Finnhub, its budget, quotes, companies, news, forex, crypto, the watchlist."""
