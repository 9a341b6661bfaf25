"""Back-off: delays between attempts, doubled each time, with jitter, up to a limit."""

import random

from service.gateway.configuration import Retry


def delay_s(retry: Retry, failures: int) -> float:
    """Return the seconds before the next attempt.

    Args:
        retry: first and longest delay.
        failures: attempts that failed so far, at least 1.

    Returns:
        Between half of the delay and all of it, so that peers are not asked in step.
    """
    doubled = retry.first_s * 2.0 ** min(failures - 1, 40)
    return min(doubled, retry.longest_s) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
