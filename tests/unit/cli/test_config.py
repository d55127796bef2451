"""The configuration file: profiles, what wins over what, and whose token it is."""

import json

import pytest

ACCOUNT = "023e105f4ecef8ad9ca31a8372d0c353"
NONE = {"COLOTRACE_URL": None, "COLOTRACE_TOKEN": None, "COLOTRACE_ACCOUNT": None}


@pytest.fixture
def write(tmp_path):
    """Writes the configuration file."""

    def write(text, *, mode=0o600):
        path = tmp_path / "config" / "colotrace" / "config.toml"
        path.parent.mkdir(parents=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    return write


@pytest.fixture
def two(write, api):
    """Two profiles, the first of which is the default."""
    write(f"""
        default_profile = "work"
        [profiles.work]
        url = "{api.url}/"
        account = "work-account"
        token = "work-token"
        [profiles.lab]
        url = "{api.url}"
        account = "lab-account"
        token = "lab-token"
    """)


@pytest.mark.parametrize(
    ("words", "env", "token", "account"),
    [
        ([], NONE, "work-token", "work-account"),
        (["--profile", "lab"], NONE, "lab-token", "lab-account"),
        ([], NONE | {"COLOTRACE_PROFILE": "lab"}, "lab-token", "lab-account"),
        ([], NONE | {"COLOTRACE_TOKEN": "own"}, "own", "work-account"),
        (
            ["--account", "flag"],
            NONE | {"COLOTRACE_ACCOUNT": "variable"},
            "work-token",
            "flag",
        ),
    ],
)
def test_flag_wins_over_variable_over_file(api, run, envelope, two, words, env, token, account):
    api.answers(envelope([]))
    assert run("colos", *words, env=env).exit_code == 0
    _, path, headers, _ = api.asked[0]
    assert headers["authorization"] == f"Bearer {token}"
    assert path == f"/accounts/{account}/diagnostics/traceroute/colos"


def test_token_of_a_profile_goes_to_no_other_address(api, run, two):
    """Its owner may have set COLOTRACE_URL for something else."""
    result = run("colos", env=NONE | {"COLOTRACE_URL": "http://127.0.0.1:1"})
    assert result.exit_code == 2
    assert "COLOTRACE_TOKEN" in result.stderr
    assert api.asked == []


def test_token_may_be_in_a_file_of_its_own(api, run, envelope, write, tmp_path):
    token = tmp_path / "token"
    token.write_text("from-the-file\n")
    token.chmod(0o600)
    # The configuration itself holds no secret, and may be read by others.
    write(f'[profiles.default]\ntoken_file = "{token}"\n', mode=0o644)
    api.answers(envelope([]))
    result = run("colos", env={"COLOTRACE_TOKEN": None})
    assert api.asked[0][2]["authorization"] == "Bearer from-the-file"
    assert result.stderr == ""


def test_token_that_others_may_read_is_warned_of(api, run, envelope, write):
    path = write('[profiles.default]\ntoken = "x"\n', mode=0o644)
    api.answers(envelope([]))
    result = run("colos", env={"COLOTRACE_TOKEN": None})
    assert result.exit_code == 0
    assert f"chmod 600 {path}" in result.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("profiles = 1", "sections"),
        ('[profiles.work]\nurll = "x"', "did you mean url?"),
        ("[profiles.work]\nurl = 5", "url is not a text"),
        ("colour = true", "unknown key colour"),
        ("= nonsense", "config.toml"),
        ('[profiles.work]\ntoken = "a"\ntoken_file = "b"', "remove one of them"),
        ('[profiles.work]\ntoken_file = "/nowhere/token"', "/nowhere/token"),
        ('[profiles.wrok]\nurl = "x"', "did you mean wrok?"),
        ("x = " + "[" * 100_000, "config.toml"),
    ],
)
def test_what_is_wrong_with_the_file_is_told(run, write, text, words):
    write(text)
    result = run("colos", "--profile", "work", env=NONE)
    assert result.exit_code == 2
    assert words in result.stderr


def test_profile_without_a_file_names_the_file(run):
    result = run("colos", "--profile", "work")
    assert result.exit_code == 2
    assert "[profiles.work]" in result.stderr


def test_missing_settings_name_all_three_places(run):
    told = run("colos", env=NONE).stderr
    assert "export COLOTRACE_URL=" in told
    assert "--url" in told
    assert "config.toml" in told


def test_relative_xdg_directory_is_ignored(api, run, envelope, tmp_path):
    """As the XDG specification says."""
    api.answers(envelope([]))
    home = tmp_path / "home"
    file = home / ".config" / "colotrace" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text(f"[profiles.default]\naccount = {json.dumps(ACCOUNT + '1')}\n")
    env = {"XDG_CONFIG_HOME": "relative", "HOME": str(home), "COLOTRACE_ACCOUNT": None}
    assert run("colos", env=env).exit_code == 0
    assert f"/accounts/{ACCOUNT}1/" in api.asked[0][1]
