"""What an administrator sends."""

TOKEN = "a-token-for-tests-only"
ADMIN = {"authorization": f"Bearer {TOKEN}"}
