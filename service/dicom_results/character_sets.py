"""Specific Character Set (0008,0005): decoding of the source's text, and choice for an object.

Text is decoded with whatever the source declares, code extensions (ISO 2022) included. An object
keeps a character set of a single value without code extensions if that holds all of its text, and
has ISO_IR 192 (UTF-8) otherwise, so that no character is lost.

Source: DICOM PS3.3 section C.12.1.1.2.
"""

from collections.abc import Iterable

from pydicom import charset

UTF_8 = "ISO_IR 192"
_DEFAULT = {"", "ISO_IR 6"}
_KEPT = {
    "ISO_IR 100",
    "ISO_IR 101",
    "ISO_IR 109",
    "ISO_IR 110",
    "ISO_IR 126",
    "ISO_IR 127",
    "ISO_IR 138",
    "ISO_IR 144",
    "ISO_IR 148",
    "ISO_IR 166",
    "GB18030",
    "GBK",
    UTF_8,
}
"""Character sets of one value that an object may keep, other than the default repertoire."""
_CONTROLS = "\\\n\r\t\f"
_NAME_DELIMITERS = _CONTROLS + "^="


def decode(raw: bytes, terms: tuple[str, ...], *, is_name: bool = False) -> str:
    """Return a text value without trailing padding; to be called within `quiet_pydicom`.

    Bytes that the declared character set does not hold are read as UTF-8, or else as Latin-1.

    Args:
        raw: encoded value.
        terms: values of Specific Character Set.
        is_name: the value is a person name, whose delimiters reset code extensions.
    """
    value = raw.rstrip(b" \0")
    if value.isascii() and b"\x1b" not in value:
        return value.decode("ascii")
    if set(terms) - _DEFAULT:
        encodings = charset.convert_encodings(list(terms))
        delimiters = {ord(item) for item in (_NAME_DELIMITERS if is_name else _CONTROLS)}
        text = charset.decode_bytes(value, encodings, delimiters)
        if "\N{REPLACEMENT CHARACTER}" not in text:
            return text
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def choose(terms: tuple[str, ...], texts: Iterable[str], *, keep: bool) -> str:
    """Return the character set of an object, empty for the default repertoire.

    Args:
        terms: values of Specific Character Set of the source.
        texts: all text of the object that is not ASCII by construction.
        keep: keep the character set of the source if that is possible.
    """
    term = terms[0] if terms else ""
    if not keep or len(terms) > 1 or term not in _DEFAULT | _KEPT:
        return UTF_8
    codec = "ascii" if term in _DEFAULT else charset.python_encoding[term]
    try:
        for text in texts:
            text.encode(codec)
    except UnicodeEncodeError:
        return UTF_8
    return term
