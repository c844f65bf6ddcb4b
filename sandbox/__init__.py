"""Stand-ins for the outside world: a payment gateway, Finnhub and a product feed.

Real HTTP servers with faults on demand, so that the platform talks to them as it would to the
real services. Run them with `python -m sandbox`. They import nothing else of this project, and
they speak plain ASGI under uvicorn: ready in a fraction of a second, small in memory.
"""
