"""A Finnhub look-alike: quotes, companies, news, forex and crypto over HTTP and a websocket."""
