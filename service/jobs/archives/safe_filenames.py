"""Labels: file names that identify a radiograph to its client without naming patient or study.

A name is kept only if it is one of the words with which modalities and exports number their files,
followed by up to three small numbers: `IM000001`, `chest_012.png`. A name of digits alone is often
the number of a patient, and a long number that of a study, a date or a UID; a setting keeps those
too. Every other name could be that of a patient. Where names are dropped, the position and the
SHA-256 of a file identify it. A label is never used as a path.
"""

import re

_WORD = "chest|cr|cxr|dcm|dicom|dx|ex|export|file|i|im|image|img|instance|obj|rx|scan|slice|xr|xray"
_SUFFIX = r"(?:\.(?:dcm|dicom|dic|ima|png|jpe?g))?"
_COUNTER = "0{0,7}[0-9]{1,5}"
_COUNTED_NAME = re.compile(
    rf"(?:{_WORD})[-_ ]?{_COUNTER}(?:[-_]{_COUNTER}){{0,2}}{_SUFFIX}", re.IGNORECASE | re.ASCII
)
_NUMERIC_NAME = re.compile(
    rf"(?:(?:{_WORD})[-_ ]?)?[0-9][0-9._-]{{0,63}}{_SUFFIX}", re.IGNORECASE | re.ASCII
)
_MAX_CHARS = 80


def safe_filename(name: str, *, keep_numbers: bool = False) -> str | None:
    """Return the last component of a file name, or None if it could name a patient or a study.

    Args:
        name: file name, with or without folders.
        keep_numbers: keep names of digits and separators as well, with or without a word.
    """
    last = re.split(r"[/\\]", name)[-1]
    pattern = _NUMERIC_NAME if keep_numbers else _COUNTED_NAME
    return last if len(last) <= _MAX_CHARS and pattern.fullmatch(last) else None
