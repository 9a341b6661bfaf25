"""What all endpoints share: problems, request context, middleware and content negotiation."""
