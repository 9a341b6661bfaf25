"""A pool of sandboxed decoder processes behind a fork server, with typed messages and no pickle."""
