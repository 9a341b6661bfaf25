"""Strategies of hypothesis: seeds with a few mutations, and DICOM files with hostile values.

Hypothesis shrinks a finding to few mutations of the first seed, so that it can be understood.
"""

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import strategies as st

from tests.fuzz.harnesses import raw_elements

_MAX_MUTATIONS = 4
_HOSTILE = (b"", b"\0", b"-1", b"0", b"99999999999", b"1e400", b"nan", b"\\\\", b"\xff\xff", b"A^B")

Mutation = tuple[str, int, int, bytes]

_mutations: st.SearchStrategy[Mutation] = st.tuples(
    st.sampled_from(("overwrite", "insert", "remove", "repeat", "cut")),
    st.integers(0, 1 << 16),
    st.integers(1, 64),
    st.binary(min_size=1, max_size=16),
)


def mutated(seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Return a strategy for seeds with up to four mutations."""
    mutations = st.lists(_mutations, max_size=_MAX_MUTATIONS)
    return st.builds(_apply, st.sampled_from(list(seeds)), mutations)


def _apply(data: bytes, mutations: list[Mutation]) -> bytes:
    for kind, place, length, new in mutations:
        at = place % (len(data) + 1)
        end = min(len(data), at + length)
        match kind:
            case "overwrite":
                data = data[:at] + new + data[at + len(new) :]
            case "insert":
                data = data[:at] + new + data[at:]
            case "remove":
                data = data[:at] + data[end:]
            case "repeat":
                data = data[:end] + data[at:end] + data[end:]
            case _:
                data = data[:at]
    return data


@st.composite
def hostile_dicoms(draw: st.DrawFn) -> bytes:
    """Draw a well-formed file in which a few elements have values or VRs that nobody writes."""
    head, elements = raw_elements()
    chosen = list(elements)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(chosen) - 1))
        value = draw(st.sampled_from(_HOSTILE) | st.binary(max_size=24))
        vr = draw(st.sampled_from((chosen[at].vr, "UN", "LO", "DS", "US", "SQ")))
        chosen[at] = replace(chosen[at], value=value + b" " * (len(value) % 2), vr=vr)
    return head + b"".join(element.encoded() for element in chosen)
