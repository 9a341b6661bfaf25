"""Every error this project raises on purpose, in one tree.

    RadiographError
    ├── InputError               the caller's bytes or words are at fault
    │   ├── MalformedInput           the bytes are not what they claim to be
    │   ├── InputTooLarge            more bytes or pixels than the limits allow
    │   ├── UnsupportedEncoding      a media type or transfer syntax that we cannot read
    │   ├── UnusableImage            a valid file that is not one grayscale radiograph
    │   │   ├── NoPixelData              no image in it
    │   │   ├── MultiFrameImage          more than one frame
    │   │   ├── ColourImage              more than one sample per pixel
    │   │   └── WrongModality            not CR, DX, or a secondary capture of one
    │   └── UnusablePhrase           empty, too long, or with control characters
    └── ModelError               a model version is at fault, or is not there
        ├── ModelNotFound            no such model, version or alias
        ├── TaskNotOffered           the version has no head for the task
        ├── InvalidVersion           a manifest, digest or golden output does not hold
        ├── PublishRefused           a gate failed; nothing was published
        └── AliasConflict            the alias moved since it was read

No HTTP status here: `service.api.http.problems` is the only place that knows them.
Messages never carry patient data.
"""


class RadiographError(Exception):
    """Root of every error raised on purpose."""


class InputError(RadiographError):
    """The caller's bytes or words are at fault."""


class MalformedInput(InputError):
    """The bytes are not what they claim to be."""


class InputTooLarge(InputError):
    """More bytes or pixels than the limits allow."""


class UnsupportedEncoding(InputError):
    """A media type or transfer syntax that we cannot read."""


class UnusableImage(InputError):
    """A valid file that is not one grayscale radiograph."""


class NoPixelData(UnusableImage):
    """The object holds no image."""


class MultiFrameImage(UnusableImage):
    """The object holds more than one frame."""


class ColourImage(UnusableImage):
    """The image has more than one sample per pixel, or a palette."""


class WrongModality(UnusableImage):
    """The image is not a projection radiograph."""


class UnusablePhrase(InputError):
    """The phrase is empty, too long, or holds control characters."""


class ModelError(RadiographError):
    """A model version is at fault, or is not there."""


class ModelNotFound(ModelError):
    """No such model, version or alias."""


class TaskNotOffered(ModelError):
    """The version has no head for the task."""


class InvalidVersion(ModelError):
    """A manifest, a digest or a golden output does not hold."""


class PublishRefused(ModelError):
    """A gate failed; nothing was published."""


class AliasConflict(ModelError):
    """The alias moved since it was read."""
