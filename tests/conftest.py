"""Fixtures for tests in several folders."""

from postgres_server import postgres_url as postgres_url
from vllm_engine import vllm_running as vllm_running
from vllm_server import vllm_server as vllm_server
