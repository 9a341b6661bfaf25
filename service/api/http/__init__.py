"""Shared by all endpoints: problems, request context, middleware, content negotiation."""
