"""Decoders of compressed pixel data: one encoded frame -> stored samples.

    decode --> transfer_syntaxes         families of transfer syntaxes
           --> jpeg                      JPEG, with a proof that the scan is whole
           --> jpeg_ls
           --> jpeg2000                  JPEG 2000 and HTJ2K, at full resolution
           --> rle
    frame           the values that these modules exchange, and the checks that they share

The header of a codestream is compared with the data set before anything is decoded. Where the
picture ends is read from the codestream and not guessed, so whatever follows it does no harm,
and a codestream whose picture is not whole is refused.
"""
