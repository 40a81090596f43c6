"""Fixtures for tests in several folders."""

from postgres_server import postgres_url as postgres_url
