from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pveops.config.paths import Paths
from pveops.config.profile_document import parse_config
from pveops.config.profiles import (
    Config,
    ConsentConfig,
    EndpointConfig,
    Profile,
    TellConfig,
    TierToken,
    Timeouts,
    binding_of,
    canonical_address,
    canonical_pin,
    check_profile_name,
    choose_profile,
    load_config,
    read_beside,
    save_config,
)
from pveops.errors import ConfigError

ASSETS = Path(__file__).parents[3] / "skills" / "proxmox" / "assets"
PIN = ":".join(["AB"] * 32)
FULL = Config(
    "home",
    {
        "home": Profile(
            endpoints=(
                EndpointConfig("pve1.lan:8006", "", PIN, "pve1.pem"),
                EndpointConfig("[fd00::1]:8007", "pve2", PIN),
            ),
            trust="pin",
            token_file="other.txt",
            consent=ConsentConfig(("send", "to me")),
            identity_file="/etc/pveops/identity.txt",
            timeouts=Timeouts(2.0, 60.0),
            actor="agent",
            tell=TellConfig(runs=False),
        ),
        "node": Profile(pvesh=("pvesh",)),
        "web": Profile((EndpointConfig("pve.example.com:443"),), "system", user="anna@pve"),
        "ca": Profile((EndpointConfig("pve3:8006"),), "ca", "ca.pem"),
        "tiers": Profile(
            (EndpointConfig("pve4:8006"),),
            "system",
            token_command=("vault-token", "--read only"),
            tier_tokens=(TierToken(1, "one.txt"), TierToken(3, "", ("vault-token",))),
        ),
    },
)
PLAIN = "profiles:\n  home:\n    trust: system\n    endpoints:\n      - address: pve1\n"


def write(paths: Paths, text: str, age_s: int = 60) -> None:
    paths.config_dir.mkdir(parents=True, exist_ok=True)
    paths.config_file.write_text(text)
    then = paths.config_file.stat().st_mtime - age_s
    os.utime(paths.config_file, (then, then))


def refusal(text: str | bytes) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse_config(text if isinstance(text, bytes) else text.encode(), "config.yaml")
    assert caught.value.hint
    return caught.value


def test_what_is_saved_is_what_is_loaded(paths: Paths) -> None:
    save_config(paths, FULL)
    assert load_config(paths) == FULL
    assert paths.config_file.stat().st_mode & 0o777 == 0o600


def test_saving_keeps_what_was_there_before(paths: Paths) -> None:
    write(paths, f"# by hand\n{PLAIN}")
    save_config(paths, FULL)
    assert "# by hand" in paths.config_file.with_name("config.yaml.prev").read_text()


def test_what_could_not_be_read_back_is_not_written(paths: Paths) -> None:
    write(paths, PLAIN)
    with pytest.raises(ConfigError, match="no address"):
        save_config(paths, Config("", {"x": Profile((EndpointConfig("a b"),), "system")}))
    assert paths.config_file.read_text() == PLAIN


def test_the_sample_reads_without_a_mistake() -> None:
    config = parse_config((ASSETS / "config.yaml").read_bytes(), "the sample")
    assert config.default == "home"
    assert {name: profile.trust for name, profile in config.profiles.items()} == {
        "home": "ca",
        "lab": "pin",
        "hosted": "system",
        "node": "ca",
    }
    assert config.profiles["home"].timeouts == Timeouts()
    assert config.profiles["home"].endpoints[0].address == "pve1.example.lan:8006"


@pytest.mark.parametrize(
    ("text", "where", "said"),
    [
        (PLAIN + "    truts: pin\n", "line 6 (profiles.home)", "did you mean 'trust'?"),
        (
            PLAIN + "      - adress: pve2\n",
            "line 6 (profiles.home.endpoints.1)",
            "did you mean 'address'?",
        ),
        (PLAIN + "      - address: http://pve2\n", "line 6", "is no address"),
        (PLAIN + "      - address: pve2:99999\n", "line 6", "is no address"),
        (PLAIN + "      - address: PVE1:8006\n", "line 2", "an endpoint stands here twice"),
        (PLAIN + "        pin: abc\n", "line 5", "SHA-256 fingerprint"),
        (PLAIN + f"        pin: '{PIN}'\n", "line 2", "trust: pin needs a pin"),
        (PLAIN.replace("system", "pin"), "line 2", "trust: pin needs a pin"),
        (PLAIN.replace("system", "ca"), "line 2", "trust: ca needs ca_file"),
        (PLAIN.replace("system", "blind"), "line 3", "'blind' is none of ca, pin, system"),
        (PLAIN + "    proxy: true\n", "line 2", "proxy: true is not possible"),
        (PLAIN + "    proxy: http://x\n", "line 6", "expected true or false"),
        (PLAIN + "    token_file: ../elsewhere\n", "line 6", "expected text matching"),
        (PLAIN + "    identity_file: here.txt\n", "line 6", "expected text matching"),
        (PLAIN + "    user: anna\n", "line 6", "expected text matching"),
        (PLAIN + "    token_file: a.txt\n    user: a@pve\n", "line 2", "not both"),
        (PLAIN + "    secret: {command: []}\n", "line 6", "length >= 1"),
        (PLAIN + "    secret: {command: pass it}\n", "line 6", "expected a list"),
        (PLAIN + "    secret: {command: [a]}\n    token_file: a.txt\n", "line 2", "one of the"),
        (PLAIN + "    tokens: {4: {token_file: a.txt}}\n", "line 6", "<= 3"),
        (PLAIN + "    tokens: {2: {}}\n", "line 6", "one of the two"),
        (PLAIN + "    tokens: {2: {token_file: pve-token.txt}}\n", "line 2", "one token_file"),
        (PLAIN + "    consent:\n      sender: send it\n", "line 7", "expected a list, got text"),
        (PLAIN + "    timeouts: {read_s: 1}\n", "line 6", ">= 5.0"),
        (PLAIN + "    trust: ca\n", "line 6", "'trust' stands in line 3 already"),
        (PLAIN + "    pvesh: [pvesh]\n", "line 2", "one of the two"),
        (PLAIN + "  Other One: {}\n", "line 6", "(profiles.Other One)"),
        (PLAIN + "default: hme\n", "line 1", "default is 'hme', but the profiles are home"),
        (PLAIN + "  \tx: 1\n", "line 6", "found a tab character"),
        ("profiles: {}\n", "line 1", "length >= 1"),
        ("- home\n", "line 1", "expected a mapping, got a list"),
        ("", "config.yaml", "there is no `profiles`"),
    ],
)
def test_a_mistake_is_named_with_its_line(text: str, where: str, said: str) -> None:
    message = refusal(text).message
    assert where in message
    assert said in message


def test_of_several_profiles_the_wrong_one_is_named() -> None:
    text = PLAIN + "  lab:\n    trust: system\n    endpoints:\n      - {address: x y}\n"
    assert "line 9 (profiles.lab.endpoints.0)" in refusal(text).message


def test_yaml_that_refers_to_itself_is_one_error() -> None:
    assert refusal("profiles: &a {home: *a}\n")


def test_before_init_there_is_nothing(paths: Paths) -> None:
    assert load_config(paths) is None
    with pytest.raises(ConfigError, match="nothing is configured yet") as caught:
        choose_profile(paths)
    assert "pve init" in caught.value.hint


def test_the_default_profile_or_the_only_one_is_chosen(paths: Paths) -> None:
    save_config(paths, FULL)
    assert choose_profile(paths) == ("home", FULL.profiles["home"])
    assert choose_profile(paths, "web")[0] == "web"
    write(paths, PLAIN)
    assert choose_profile(paths)[0] == "home"


def test_an_unknown_or_missing_choice_names_the_profiles(paths: Paths) -> None:
    save_config(paths, FULL)
    with pytest.raises(ConfigError, match="no profile 'hom'") as caught:
        choose_profile(paths, "hom")
    assert "home|node|web|ca" in caught.value.hint
    save_config(paths, FULL._replace(default=""))
    with pytest.raises(ConfigError, match="no default profile"):
        choose_profile(paths)


def test_what_was_read_is_kept_and_used(paths: Paths) -> None:
    write(paths, PLAIN)
    first = load_config(paths)
    assert paths.config_cache_file.stat().st_mode & 0o777 == 0o600
    assert load_config(paths) == first
    assert isinstance(choose_profile(paths)[1].endpoints[0], EndpointConfig)


def test_every_field_comes_back_from_what_was_kept(paths: Paths) -> None:
    save_config(paths, FULL)
    write(paths, paths.config_file.read_text())
    load_config(paths)
    assert paths.config_cache_file.exists()
    assert load_config(paths) == FULL


def test_an_edited_document_is_read_again(paths: Paths) -> None:
    write(paths, PLAIN)
    load_config(paths)
    times = paths.config_file.stat()
    paths.config_file.write_text(PLAIN.replace("pve1", "pve2"))
    os.utime(paths.config_file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert choose_profile(paths)[1].endpoints[0].address == "pve2:8006"


def test_a_document_just_written_is_not_kept(paths: Paths) -> None:
    """Its times could stay the same through one more edit."""
    write(paths, PLAIN, age_s=0)
    load_config(paths)
    assert not paths.config_cache_file.exists()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b"\xff", b'{"key": [], "config": 1}']
)
def test_a_damaged_copy_is_read_over(paths: Paths, content: bytes) -> None:
    write(paths, PLAIN)
    first = load_config(paths)
    paths.config_cache_file.write_bytes(content)
    assert load_config(paths) == first


def test_a_copy_that_others_may_have_written_is_not_used(paths: Paths) -> None:
    write(paths, PLAIN)
    load_config(paths)
    kept = paths.config_cache_file
    kept.write_bytes(kept.read_bytes().replace(b"pve1", b"evil"))
    assert choose_profile(paths)[1].endpoints[0].address == "evil:8006"
    kept.chmod(0o666)
    assert choose_profile(paths)[1].endpoints[0].address == "pve1:8006"


def test_a_kept_configuration_needs_no_yaml(paths: Paths) -> None:
    write(paths, PLAIN)
    load_config(paths)
    code = (
        "import sys\n"
        "from pveops.config.paths import find_paths\n"
        "from pveops.config.profiles import choose_profile\n"
        f"choose_profile(find_paths({{'PVE_HOME': {str(paths.config_dir)!r}}}))\n"
        "print(sorted({'yaml', 'msgspec', 'dataclasses', 'hashlib'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_files_beside_the_configuration_are_found_or_named(paths: Paths) -> None:
    write(paths, PLAIN)
    (paths.config_dir / "ca.pem").write_text("text")
    assert read_beside(paths, "ca.pem", "the CA file") == "text"
    with pytest.raises(ConfigError, match=r"the CA file .*none\.pem cannot be read"):
        read_beside(paths, "none.pem", "the CA file")


def test_a_binding_changes_with_the_place_and_not_with_its_spelling(paths: Paths) -> None:
    profile = FULL.profiles["home"]
    same = profile._replace(endpoints=tuple(reversed(profile.endpoints)))
    assert binding_of(paths, same) == binding_of(paths, profile)
    for other in (
        profile._replace(endpoints=profile.endpoints[:1]),
        profile._replace(endpoints=(EndpointConfig("pve1.lan", "", PIN[:-2] + "AC"),)),
        FULL.profiles["node"],
    ):
        assert binding_of(paths, other) != binding_of(paths, profile)


def test_addresses_and_pins_have_one_form() -> None:
    assert canonical_address("PVE1") == "pve1:8006"
    assert canonical_address("[fd00::A]") == "[fd00::a]:8006"
    assert canonical_address("[fd00::a]:1") == "[fd00::a]:1"
    assert canonical_pin("ab" * 32) == canonical_pin(PIN.lower()) == PIN


@pytest.mark.parametrize("name", ["", "../x", "A", "-x", "x" * 33])
def test_a_profile_name_could_be_a_files(name: str) -> None:
    with pytest.raises(ConfigError):
        check_profile_name(name)
