"""A share of the request ids goes to the canary, the same ids every time."""

from collections import Counter

from service.registry.canary import CanaryShares, position_of


def test_keys_spread_evenly_and_keep_their_positions() -> None:
    positions = [position_of(f"request-{number}") for number in range(2000)]
    assert [position_of(f"request-{number}") for number in range(2000)] == positions
    assert all(0 <= position < 1 for position in positions)
    counts = Counter(int(10 * position) for position in positions)
    assert min(counts.values()) > 150


def test_the_position_of_a_key_is_the_same_in_every_release() -> None:
    assert position_of("abc") == 0.7283949105903993  # replicas of two releases may run at one time


def test_a_model_may_have_a_share_of_its_own() -> None:
    shares = CanaryShares(0.1, {"tiny": 0.5})
    assert (shares.of("tiny"), shares.of("other")) == (0.5, 0.1)


def test_changing_one_share_leaves_the_others() -> None:
    shares = CanaryShares(0.1, {"tiny": 0.5})
    shares.change("other", 0.9)
    assert (shares.of("tiny"), shares.of("other"), shares.of("third")) == (0.5, 0.9, 0.1)


def test_a_request_without_a_key_never_goes_to_the_canary() -> None:
    assert not CanaryShares(1.0, {}).takes("tiny", None)


def test_a_key_goes_to_the_canary_below_the_share() -> None:
    assert CanaryShares(0.73, {}).takes("tiny", "abc")
    assert not CanaryShares(0.72, {}).takes("tiny", "abc")
