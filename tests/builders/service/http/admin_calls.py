"""Token and headers of an administrator."""

TOKEN = "a-token-for-tests-only"
ADMIN = {"authorization": f"Bearer {TOKEN}"}
