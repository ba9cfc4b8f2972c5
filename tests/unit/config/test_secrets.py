from __future__ import annotations

import os
import secrets as randomness
import subprocess
from pathlib import Path

import pyrage
import pytest

from pveops.config.paths import Paths
from pveops.config.private_files import is_tracked_by_git
from pveops.config.profiles import EndpointConfig, Profile
from pveops.config.secrets import PROTECTS, load_token, save_token, secret_status
from pveops.errors import PveopsError, SecretError
from pveops.redact import redact

NOW = 1_800_000_000.0
PROFILE = Profile(endpoints=(EndpointConfig("pve1.lan:8006"),), trust="system")
TOKEN_ID = "ops@pve!agent"


def make_secret() -> str:
    return randomness.token_hex(16)


def store(paths: Paths, profile: Profile = PROFILE, expires: int = 0) -> tuple[Path, str]:
    secret = make_secret()
    path = save_token(paths, "home", profile, TOKEN_ID, secret, now=NOW, expires=expires)
    return path, secret


def refusal(paths: Paths, profile: Profile = PROFILE, name: str = "home") -> SecretError:
    with pytest.raises(SecretError) as caught:
        load_token(paths, name, profile, NOW)
    assert caught.value.hint
    return caught.value


def test_a_stored_token_is_what_was_given(paths: Paths) -> None:
    _, secret = store(paths, expires=int(NOW) + 60)
    token = load_token(paths, "home", PROFILE, NOW)
    assert (token.token_id, token.secret, token.expires) == (TOKEN_ID, secret, int(NOW) + 60)


def test_a_token_shows_its_secret_to_nobody_who_prints_it(paths: Paths) -> None:
    _, secret = store(paths)
    token = load_token(paths, "home", PROFILE, NOW)
    assert secret not in f"{token} {token!r} {[token]}"
    assert secret not in redact(f"a line with {secret} in it")


def test_the_file_is_an_armoured_age_file_that_age_itself_opens(paths: Paths) -> None:
    path, secret = store(paths)
    sealed = path.read_bytes()
    assert sealed.startswith(b"-----BEGIN AGE ENCRYPTED FILE-----")
    line = paths.identity_file.read_text().splitlines()[-1]
    opened = pyrage.decrypt(sealed, [pyrage.x25519.Identity.from_str(line)])
    assert secret.encode() in opened
    assert secret.encode() not in sealed


def test_files_are_the_owners_alone_and_out_of_git(paths: Paths) -> None:
    path, _ = store(paths)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert paths.identity_file.stat().st_mode & 0o777 == 0o600
    assert paths.identity_file.parent.stat().st_mode & 0o777 == 0o700
    assert (path.parent / ".gitignore").read_text() == "*\n"


def test_the_identity_lies_outside_the_workspace(paths: Paths) -> None:
    store(paths)
    assert paths.data_dir not in paths.identity_file.parents


def test_an_identity_inside_the_workspace_is_refused(paths: Paths) -> None:
    profile = PROFILE._replace(identity_file=str(paths.data_dir / "identity.txt"))
    with pytest.raises(SecretError, match="with the secrets that it opens"):
        store(paths, profile)
    assert not list(paths.secrets_dir.glob("*.txt"))


def test_a_profile_can_name_another_identity(paths: Paths, tmp_path: Path) -> None:
    profile = PROFILE._replace(identity_file=str(tmp_path / "elsewhere" / "identity.txt"))
    _, secret = store(paths, profile)
    assert load_token(paths, "home", profile, NOW).secret == secret
    assert not paths.identity_file.exists()


def test_replacing_a_token_keeps_the_one_before(paths: Paths) -> None:
    path, first = store(paths)
    _, second = store(paths)
    assert load_token(paths, "home", PROFILE, NOW).secret == second
    before = path.with_name("pve-token.txt.prev")
    assert before.stat().st_mode & 0o777 == 0o600
    before.replace(path)
    assert load_token(paths, "home", PROFILE, NOW).secret == first


def test_a_missing_token_says_how_to_store_one(paths: Paths) -> None:
    error = refusal(paths)
    assert "does not exist" in error.message
    assert "pve secrets add --profile home" in error.hint


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o777])
def test_a_token_open_to_others_is_refused(paths: Paths, mode: int) -> None:
    path, _ = store(paths)
    path.chmod(mode)
    error = refusal(paths)
    assert f"mode {mode:04o}" in error.message
    assert f"chmod 600 {path}" in error.hint


def test_an_identity_open_to_others_is_refused(paths: Paths) -> None:
    store(paths)
    paths.identity_file.chmod(0o644)
    error = refusal(paths)
    assert "identity" in error.message
    assert f"chmod 600 {paths.identity_file}" in error.hint


def test_a_folder_that_others_may_write_to_is_refused(paths: Paths) -> None:
    path, _ = store(paths)
    path.parent.chmod(0o777)
    assert f"chmod 700 {path.parent}" in refusal(paths).hint


def test_a_symbolic_link_is_refused(paths: Paths, tmp_path: Path) -> None:
    path, _ = store(paths)
    path.rename(tmp_path / "real.txt")
    path.symlink_to(tmp_path / "real.txt")
    assert "symbolic link" in refusal(paths).message


@pytest.mark.parametrize("make", ["folder", "pipe"])
def test_what_is_no_file_is_refused_without_waiting(paths: Paths, make: str) -> None:
    path, _ = store(paths)
    path.unlink()
    if make == "folder":
        path.mkdir()
    else:
        os.mkfifo(path, 0o600)
    assert "no plain file" in refusal(paths).message


def test_a_missing_identity_is_named(paths: Paths) -> None:
    store(paths)
    paths.identity_file.unlink()
    error = refusal(paths)
    assert f"{paths.identity_file} does not exist" in error.message
    assert "bring it back" in error.hint


def test_the_wrong_identity_is_told_from_a_damaged_file(paths: Paths) -> None:
    store(paths)
    other = pyrage.x25519.Identity.generate()
    paths.identity_file.write_text(f"{other}\n")
    error = refusal(paths)
    assert f"does not open with the identity {paths.identity_file}" in error.message
    assert str(other) not in f"{error.message}{error.hint}"


def test_an_identity_file_with_other_content_is_named(paths: Paths) -> None:
    store(paths)
    paths.identity_file.write_text("AGE-SECRET-KEY-1 but not quite\n")
    assert "holds no age identity" in refusal(paths).message


def test_a_token_cut_short_at_any_byte_is_one_clear_error(paths: Paths) -> None:
    path, secret = store(paths)
    whole = path.read_bytes()
    for length in range(0, len(whole) - 2, 41):
        path.write_bytes(whole[:length])
        error = refusal(paths)
        assert "cut short" in error.message
        assert secret not in error.message


def test_a_changed_byte_is_noticed(paths: Paths) -> None:
    path, _ = store(paths)
    lines = path.read_text().splitlines()
    middle = lines[len(lines) // 2]
    lines[len(lines) // 2] = ("B" if middle[0] == "A" else "A") + middle[1:]
    path.write_text("\n".join(lines) + "\n")
    assert "does not open" in refusal(paths).message


def test_a_payload_of_another_version_is_named(paths: Paths) -> None:
    path, _ = store(paths)
    line = paths.identity_file.read_text().splitlines()[-1]
    recipient = pyrage.x25519.Identity.from_str(line).to_public()
    path.write_bytes(pyrage.encrypt(b'{"format": 99}', [recipient], armored=True))
    assert "another version" in refusal(paths).message


def test_an_expired_token_says_since_when(paths: Paths) -> None:
    store(paths, expires=int(NOW))
    error = refusal(paths)
    assert "expired on 2027-01-15 08:00 UTC" in error.message
    assert "pve secrets add --profile home" in error.hint


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            PROFILE._replace(endpoints=(EndpointConfig("evil.lan:8006"),)),
            "endpoint evil.lan:8006 is new; endpoint pve1.lan:8006 is gone",
        ),
        (
            PROFILE._replace(endpoints=(*PROFILE.endpoints, EndpointConfig("evil.lan"))),
            "endpoint evil.lan:8006 is new",
        ),
        (
            PROFILE._replace(endpoints=(EndpointConfig("pve1.lan:8007"),)),
            "endpoint pve1.lan:8007 is new",
        ),
        (
            PROFILE._replace(endpoints=(EndpointConfig("pve1.lan", server_name="other"),)),
            "endpoint pve1.lan:8006 as other is new",
        ),
        (
            PROFILE._replace(
                trust="pin", endpoints=(EndpointConfig("pve1.lan:8006", pin="ab" * 32),)
            ),
            f"with certificate {':'.join(['AB'] * 32)} is new",
        ),
    ],
)
def test_a_token_is_refused_for_another_place_naming_the_difference(
    paths: Paths, changed: Profile, said: str
) -> None:
    store(paths)
    error = refusal(paths, changed)
    assert said in error.message
    assert "is not sent" in error.message


def test_another_ca_is_another_place(paths: Paths) -> None:
    paths.config_dir.mkdir(parents=True)
    authority = paths.config_dir / "ca.pem"
    authority.write_text("first\n")
    profile = PROFILE._replace(trust="ca", ca_file="ca.pem")
    store(paths, profile)
    load_token(paths, "home", profile, NOW)
    authority.write_text("second\n")
    assert "CA " in refusal(paths, profile).message


def test_the_token_of_another_profile_is_refused(paths: Paths) -> None:
    store(paths)
    assert "it is the token of profile home" in refusal(paths, name="lab").message


def test_writing_an_address_differently_is_no_difference(paths: Paths) -> None:
    _, secret = store(paths)
    same = PROFILE._replace(endpoints=(EndpointConfig(" PVE1.lan "),))
    assert load_token(paths, "home", same, NOW).secret == secret


def commit(folder: Path, *names: str, index_version: int = 2, apart: Path | None = None) -> None:
    """Put the files into the index of a new repository, which may lie apart from them."""

    def git(*words: str) -> None:
        subprocess.run(
            ["git", "-C", str(folder), *words],
            check=True,
            capture_output=True,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"},
        )

    git("init", *(["--separate-git-dir", str(apart)] if apart else []))
    git("config", "index.version", str(index_version))
    git("add", "--force", *names)


@pytest.mark.parametrize("version", [2, 3, 4])
def test_a_token_in_a_git_index_is_refused(paths: Paths, version: int) -> None:
    path, _ = store(paths)
    for name in ("a", "secrets/pve-a", "secrets/pve-token.tx", "z"):
        (paths.data_dir / name).write_text("x")
    commit(paths.data_dir, ".", index_version=version)
    if version == 3:
        # An entry that is only intended needs the longer flags, and so the third version.
        (paths.data_dir / "new").write_text("x")
        git = ["git", "-C", str(paths.data_dir), "add", "--intent-to-add", "--force", "new"]
        subprocess.run(git, check=True)
    assert (paths.data_dir / ".git" / "index").read_bytes()[7] == version
    error = refusal(paths)
    assert "git repository's index" in error.message
    assert "rm --cached pve-token.txt" in error.hint
    assert not is_tracked_by_git(path.with_name("pve-token"))


def test_a_repository_whose_folder_lies_apart_is_found_too(paths: Paths, tmp_path: Path) -> None:
    path, _ = store(paths)
    commit(paths.data_dir, "secrets", apart=tmp_path / "repository")
    assert (paths.data_dir / ".git").is_file()
    assert is_tracked_by_git(path)


@pytest.mark.parametrize("content", [b"", b"DIRC", b"DIRC\0\0\0\4\0\0\0\x09short", b"\xff" * 99])
def test_a_damaged_index_is_no_reason_to_fail(paths: Paths, content: bytes) -> None:
    path, secret = store(paths)
    (paths.data_dir / ".git").mkdir()
    (paths.data_dir / ".git" / "index").write_bytes(content)
    assert not is_tracked_by_git(path)
    assert load_token(paths, "home", PROFILE, NOW).secret == secret


@pytest.mark.parametrize("version", [2, 4])
def test_a_repository_around_that_does_not_track_the_token_is_fine(
    paths: Paths, version: int
) -> None:
    _, secret = store(paths)
    (paths.data_dir / "SKILL.md").write_text("x")
    commit(paths.data_dir, "SKILL.md", index_version=version)
    assert load_token(paths, "home", PROFILE, NOW).secret == secret


def test_the_gitignore_keeps_git_from_adding_the_token(paths: Paths) -> None:
    path, _ = store(paths)
    (paths.data_dir / "x").write_text("x")
    commit(paths.data_dir, "x")
    subprocess.run(["git", "-C", str(paths.data_dir), "add", "."], check=True)
    assert not is_tracked_by_git(path)


def test_status_tells_facts_and_the_problem_but_no_secret(paths: Paths) -> None:
    path, secret = store(paths, expires=int(NOW) - 1)
    status = secret_status(paths, "home", PROFILE, NOW)
    assert status.token_id == TOKEN_ID
    assert "expired" in status.problem
    assert status.remedy
    assert status.bound == ("endpoint pve1.lan:8006", "trust system")
    assert secret not in repr(status)
    path.unlink()
    assert "does not exist" in secret_status(paths, "home", PROFILE, NOW).problem


def test_a_usable_token_has_no_problem(paths: Paths) -> None:
    store(paths)
    status = secret_status(paths, "home", PROFILE, NOW)
    assert (status.problem, status.is_tracked_by_git) == ("", False)


def test_what_encryption_at_rest_does_not_do_is_said() -> None:
    assert "a program that runs as this user, and root, can read both" in PROTECTS


def test_a_folder_that_cannot_be_made_is_one_clear_error(paths: Paths) -> None:
    paths.data_dir.mkdir(parents=True)
    (paths.data_dir / "secrets").write_text("in the way")
    with pytest.raises(PveopsError) as caught:
        store(paths)
    assert str(paths.secrets_dir) in caught.value.message
