"""Local stand-ins for the world outside: real PostgreSQL, Redis and Xray from pip wheels, and a YooKassa of our own.

Nothing here is part of the product. `sandbox.demo` runs the whole service on it; the tests use the same pieces.
"""
