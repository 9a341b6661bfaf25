"""The chained entries themselves: linked, stored, appended to and verified."""
