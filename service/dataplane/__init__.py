"""The use case without HTTP: a file and a query become an encoded prediction."""
