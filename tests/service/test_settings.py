"""Settings come from the environment, in groups with flat names, and each value is checked."""

import inspect
from pathlib import Path

import pytest
from pydantic import ValidationError

from service.errors import InvalidSettings
from service.host import available_cpus
from service.settings import OPTIONS, BatchingSettings, LimitSettings, Settings


def test_settings_come_from_the_environment() -> None:
    environ = {"G2D_PORT": "9000", "G2D_ALIASES": "stable, blue", "PORT": "1"}
    settings = Settings.from_environment(environ)
    assert (settings.server.port, settings.models.aliases) == (9000, ("stable", "blue"))
    assert settings.runtime.threads == available_cpus() >= 1


def test_a_flat_name_is_the_prefix_of_the_group_and_the_field() -> None:
    assert OPTIONS["jobs_dir"] == ("jobs", "dir")
    assert OPTIONS["port"] == ("server", "port")
    assert OPTIONS["workers"] == ("batching", "workers")
    assert OPTIONS["decode_workers"] == ("decoding", "workers")


def test_every_field_has_a_flat_name_of_its_own() -> None:
    fields = [(name, field) for name, group in Settings() for field in type(group).model_fields]
    assert sorted(OPTIONS.values()) == sorted(fields)


def test_every_field_and_every_group_is_described() -> None:
    for name, group in Settings():
        assert inspect.getdoc(type(group)), name
        source = inspect.getsource(type(group))
        for field in type(group).model_fields:
            _, _, rest = source.partition(f"\n    {field}: ")
            assert '"""' in rest.partition("\n\n")[0], f"{name}.{field}"


def test_an_unknown_variable_is_logged_and_ignored(caplog: pytest.LogCaptureFixture) -> None:
    assert Settings.from_environment({"G2D_PROT": "9000"}) == Settings()
    assert "prot" in caplog.text


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(InvalidSettings, match="prot"):
        Settings.of(prot=9000)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("G2D_PORT", "many"),
        ("G2D_PORT", "tcp://10.0.0.1:8000"),
        ("G2D_THREADS", "0"),
        ("G2D_PROVIDER", "tpu"),
        ("G2D_ADMIN_TOKEN", "short"),
        ("G2D_CANARY_SHARE", "1.1"),
        ("G2D_CANARY_SHARE", "nan"),
        ("G2D_CANARY_SHARES", "g2d-cxr"),
        ("G2D_CANARY_SHARES", "g2d-cxr=2"),
        ("G2D_CANARY_SHARES", "g2d-cxr=nan"),
        ("G2D_KEEP_RETIRED", "-1"),
        ("G2D_WATCH_INTERVAL_S", "nan"),
        ("G2D_WATCH_INTERVAL_S", "inf"),
        ("G2D_TRITON_URL", "http://127.0.0.1:8000"),
        ("G2D_DICOM_RESULTS_SEGMENTATION_TYPE", "FRACTIONAL"),
        ("G2D_DICOM_RESULTS_TIME_ZONE", "Europe/Atlantis"),
        ("G2D_DICOM_RESULTS_SERIES_NUMBER", "0"),
        ("G2D_DICOM_RESULTS_SERIES_PREFIX", "a\\b"),
    ],
)
def test_an_invalid_value_is_reported_under_its_variable(name: str, value: str) -> None:
    with pytest.raises(InvalidSettings, match=name):
        Settings.from_environment({name: value})


def test_every_invalid_value_is_reported() -> None:
    with pytest.raises(InvalidSettings, match=r"G2D_PORT: .*; G2D_JOBS_LEASE_S: "):
        Settings.of(port=-1, jobs_lease_s=0)


def test_changed_settings_keep_all_other_values() -> None:
    settings = Settings.from_environment({"G2D_PORT": "9000", "G2D_HOST": "::1"})
    changed = settings.changed(port=9001, host=None, models_dir=Path("x"))
    assert (changed.server.port, changed.server.host) == (9001, "::1")
    assert changed.models.models_dir == Path("x")
    with pytest.raises(InvalidSettings, match="G2D_PORT"):
        settings.changed(port=-1)


def test_settings_cannot_be_modified() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().server.port = 9000  # type: ignore[misc] # the point of the test


def test_secrets_do_not_appear_in_the_representation() -> None:
    token, password = "a-token-of-32-letters-and-digits", "correct-horse"
    url = f"postgresql+psycopg://g2d:{password}@db/jobs"
    settings = Settings.of(admin_token=token, jobs_url=url)
    assert token not in repr(settings)
    assert password not in repr(settings)


def test_an_empty_variable_switches_an_optional_setting_off() -> None:
    variables = ("ADMIN_TOKEN", "JOBS_DIR", "JOBS_URL", "SHADOW_ALIAS")
    settings = Settings.from_environment({f"G2D_{name}": "" for name in variables})
    assert settings.security.admin_token is None
    assert (settings.jobs.dir, settings.jobs.url) == (None, None)
    assert settings.models.shadow_alias is None


def test_canary_shares_of_single_models_are_read_from_text() -> None:
    settings = Settings.from_environment({"G2D_CANARY_SHARES": "g2d-cxr=0.1, other=0"})
    assert settings.models.canary_shares == {"g2d-cxr": 0.1, "other": 0.0}


def test_the_shadow_alias_is_served_once() -> None:
    of = Settings.of
    assert of(shadow_alias="blue").models.served_aliases == ("stable", "canary", "blue")
    assert of(shadow_alias="canary").models.served_aliases == ("stable", "canary")


def test_permits_are_the_running_and_the_waiting_requests() -> None:
    assert BatchingSettings(workers=2, waiting=5).permits == 7


@pytest.mark.parametrize(("buffered", "expected"), [(2048, 4096), (8192, 8192)])
def test_the_memory_for_bodies_has_room_for_one_largest_body(buffered: int, expected: int) -> None:
    limits = LimitSettings(max_body_bytes=4096, max_buffered_bytes=buffered)
    assert limits.body_memory_bytes == expected
