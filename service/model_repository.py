"""The model repository as the settings describe it, with the signatures that versions must have."""

from radiograph.errors import StoreUnavailable, UnusableKey
from radiograph.repository import opening
from radiograph.repository.integrity.signatures import SignaturePolicy, TrustedKeys
from radiograph.repository.repository import Repository
from service.errors import InvalidSettings
from service.settings import ModelSettings


def open_repository(models: ModelSettings) -> Repository:
    """Return the model repository.

    Raises:
        InvalidSettings: the file of trusted keys, or the models directory, cannot be used.
    """
    policy = None
    try:
        if models.trusted_keys is not None:
            keys = TrustedKeys.read(models.trusted_keys)
            policy = SignaturePolicy(keys, required=models.require_signature)
        return opening.open_repository(models.models_dir, policy)
    except UnusableKey as error:
        raise InvalidSettings(f"G2D_TRUSTED_KEYS: {error}") from error
    except StoreUnavailable as error:
        raise InvalidSettings(f"G2D_MODELS_DIR: {error}") from error
