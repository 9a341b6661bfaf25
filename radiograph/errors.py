"""Errors that this project raises on purpose, in one tree.

    RadiographError
    ├── InputError               the bytes or phrases of the caller are at fault
    │   ├── MalformedInput           the input is broken or contradicts itself
    │   │   ├── EmptyInput               the file or body has no bytes
    │   │   ├── MalformedForm            the form or multipart body is broken, or has wrong parts
    │   │   ├── MediaTypeMismatch        the bytes do not match their declared type
    │   │   └── UndecodablePixels        the pixel data are damaged or not what the header says
    │   ├── InputTooLarge            the file exceeds the limits on bytes or pixels
    │   │   └── InputTooCostly           decoding the file would take too long for its size
    │   ├── UnsupportedEncoding      the media type or transfer syntax cannot be read
    │   ├── UnusableImage            the file is valid, but not one grayscale radiograph
    │   │   ├── NoPixelData              the object holds no image
    │   │   ├── MultiFrameImage          the object holds more than one frame
    │   │   ├── ColourImage              the image is in colour or has a palette of colours
    │   │   └── WrongModality            the image is not a projection radiograph
    │   └── UnusablePhrase           the phrase is empty, too long, or has control characters
    └── ModelError               a model version is at fault or does not exist
        ├── ModelNotFound            the model, version or alias does not exist
        ├── TaskNotOffered           the version has no head for the task
        ├── InvalidVersion           a manifest, digest or golden output fails verification
        │   ├── AlteredVersion           the version is not the one that was published
        │   ├── UnsignedVersion          no trusted key signed the version
        │   └── UnloadableVersion        loading takes too long or too much memory
        ├── PublishRefused           a check failed, so nothing was published
        ├── UnusableKey              a file of signing keys cannot be read
        ├── AliasConflict            the alias was changed since it was read
        ├── StoreConflict            the store of the models was changed since it was read
        └── StoreUnavailable         the store of the models does not answer

HTTP status codes are assigned in `service.api.http.problems` only. Messages never carry patient
data.
"""


class RadiographError(Exception):
    """Base class of every error that is raised on purpose."""


class InputError(RadiographError):
    """The bytes or phrases of the caller are at fault."""


class MalformedInput(InputError):
    """The input is broken or contradicts itself."""


class EmptyInput(MalformedInput):
    """The file or body has no bytes."""


class MalformedForm(MalformedInput):
    """The form or multipart body is broken, or has other parts than it may have."""


class MediaTypeMismatch(MalformedInput):
    """The bytes do not match their declared type."""


class UndecodablePixels(MalformedInput):
    """The pixel data are damaged or not what the header says."""


class InputTooLarge(InputError):
    """The file has more bytes or pixels than the limits allow."""


class InputTooCostly(InputTooLarge):
    """Decoding the file would take too long for its size."""


class UnsupportedEncoding(InputError):
    """The media type or transfer syntax cannot be read."""


class UnusableImage(InputError):
    """The file is valid, but does not hold one grayscale radiograph."""


class NoPixelData(UnusableImage):
    """The object holds no image."""


class MultiFrameImage(UnusableImage):
    """The object holds more than one frame."""


class ColourImage(UnusableImage):
    """The image is in colour, or has a palette of colours."""


class WrongModality(UnusableImage):
    """The image is not a projection radiograph."""


class UnusablePhrase(InputError):
    """The phrase is empty, too long, or has control characters."""


class ModelError(RadiographError):
    """A model version is at fault or does not exist."""


class ModelNotFound(ModelError):
    """The model, version or alias does not exist."""

    def __init__(self, message: str, searched: object = None) -> None:
        """Args: message: for clients of the service; searched: place, for the command line only."""
        super().__init__(message)
        self.searched = searched


class TaskNotOffered(ModelError):
    """The version has no head for the task."""


class InvalidVersion(ModelError):
    """A manifest, a digest or a golden output fails verification."""


class AlteredVersion(InvalidVersion):
    """The version has another digest than when it was published or first loaded."""


class UnsignedVersion(InvalidVersion):
    """The version has no signature, or none by a trusted key over its digest."""


class UnloadableVersion(InvalidVersion):
    """Loading the version takes too long, too much memory, or ends the process."""


class PublishRefused(ModelError):
    """A check failed, so nothing was published."""


class UnusableKey(ModelError):
    """A file of signing keys cannot be read, or holds no key."""


class AliasConflict(ModelError):
    """The alias was changed since it was read."""


class StoreConflict(ModelError):
    """Another writer changed the store of the models since it was read."""


class StoreUnavailable(ModelError):
    """The store of the models does not answer, or refuses what was asked."""
