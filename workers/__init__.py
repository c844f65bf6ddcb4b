"""Celery edge: build collaborators, call one business function, log, ring what follows."""
