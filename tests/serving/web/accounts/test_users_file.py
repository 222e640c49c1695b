"""The file of users: hashed passwords, roles, and a damaged file."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from features.errors import DataError, UsageError
from serving.web.accounts import users_file
from serving.web.accounts.users_file import UsersFile, hash_password

PASSWORD = "correct horse"  # noqa: S105


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users_file, "COST", {"n": 2, "r": 8, "p": 1})


@pytest.fixture
def file(tmp_path: Path) -> UsersFile:
    file = UsersFile(tmp_path / "private" / "users.json")
    file.add("ann", "customers", PASSWORD)
    file.add("proxy.user@shop", "groups", "")
    return file


def test_the_right_password_signs_in_and_no_other(file: UsersFile) -> None:
    user = file.sign_in("ann", PASSWORD)
    assert user is not None and user.name == "ann" and user.sees_customers
    assert file.sign_in("ann", PASSWORD + "x") is None and file.sign_in("ben", PASSWORD) is None


def test_a_user_without_a_password_cannot_sign_in_with_an_empty_one(file: UsersFile) -> None:
    assert file.sign_in("proxy.user@shop", "") is None
    assert not file.users()["proxy.user@shop"].sees_customers


def test_the_file_is_private_and_holds_no_password(file: UsersFile) -> None:
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert PASSWORD not in file.path.read_text()


def test_equal_passwords_have_different_hashes(file: UsersFile) -> None:
    file.add("ben", "customers", PASSWORD)
    users = file.users()
    assert users["ann"].hashed != users["ben"].hashed


def test_a_removed_user_is_gone_and_an_unknown_one_is_named(file: UsersFile) -> None:
    file.remove("ann")
    assert list(file.users()) == ["proxy.user@shop"]
    with pytest.raises(UsageError, match="no user 'ann'; the users are: proxy.user@shop"):
        file.remove("ann")


@pytest.mark.parametrize("name", ["", "a b", "\x1b[2J", "-x", "x" * 81, "a\n"])
def test_a_name_that_cannot_be_used_is_refused(file: UsersFile, name: str) -> None:
    with pytest.raises(UsageError, match="expected letters, digits"):
        file.add(name, "customers", PASSWORD)


@pytest.mark.parametrize("password", ["short", "x" * 1025])
def test_a_password_of_a_wrong_length_is_refused(file: UsersFile, password: str) -> None:
    with pytest.raises(UsageError, match="expected 10 to 1,024"):
        file.add("ben", "customers", password)


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"users": [{"name": "ann"}]}', '{"users": [{"name": 1, "role": "groups"}]}', '{"users": 3}']
)
def test_a_damaged_file_is_refused_with_what_to_do(file: UsersFile, content: str) -> None:
    file.path.write_text(content)
    with pytest.raises(DataError, match="regulars users add NAME"):
        file.users()


def test_an_unknown_role_is_named(file: UsersFile) -> None:
    file.path.write_text(json.dumps({"users": [{"name": "ann", "role": "boss"}]}))
    with pytest.raises(DataError, match="role 'boss'; expected customers or groups"):
        file.users()


def test_the_shipped_cost_is_that_of_owasp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert users_file.COST == {"n": 32768, "r": 8, "p": 3}
    assert len(hash_password(PASSWORD, "00" * 16)) == 64
