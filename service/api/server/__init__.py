"""The server below the application: listening, HTTP/1.1, limits of connections, proxies."""
