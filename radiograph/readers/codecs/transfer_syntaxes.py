"""Transfer syntaxes that can be read, by the family of their encoding.

Source: DICOM PS3.5 annex A.
"""

from pydicom import uid

NATIVE: frozenset[str] = frozenset(
    {
        uid.ImplicitVRLittleEndian,
        uid.ExplicitVRLittleEndian,
        uid.ExplicitVRBigEndian,
        uid.DeflatedExplicitVRLittleEndian,
    }
)
JPEG: frozenset[str] = frozenset(
    {uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLossless, uid.JPEGLosslessSV1}
)
JPEG_LS: frozenset[str] = frozenset({uid.JPEGLSLossless, uid.JPEGLSNearLossless})
JPEG_2000: frozenset[str] = frozenset(
    {
        uid.JPEG2000Lossless,
        uid.JPEG2000,
        uid.HTJ2KLossless,
        uid.HTJ2KLosslessRPCL,
        uid.HTJ2K,
    }
)
RLE: frozenset[str] = frozenset({uid.RLELossless})
SUPPORTED: frozenset[str] = NATIVE | JPEG | JPEG_LS | JPEG_2000 | RLE
"""UIDs of the transfer syntaxes that can be read if the optional decoders are installed."""
