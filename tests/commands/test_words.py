"""An unknown command and a configuration without settings are named, before anything is parsed."""

from argparse import ArgumentError

import pytest

import train
from commands.words import check_words


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty: give a YAML file"),
        (b"# nothing\n", "is empty: give a YAML file"),
        (b"\xff\xfe\x80", "is no text: give a YAML file"),
        (b"model: [1\n", r"is no YAML \(.*\): give a YAML file"),
        (b"- 1\n", "holds a list, not settings by name: give a YAML file"),
    ],
)
@pytest.mark.parametrize("words", [["--config={path}"], ["fit", "--config", "{path}"], ["-c", "{path}"]])
def test_a_config_without_settings_is_named(tmp_path, content, message, words):
    path = tmp_path / "settings.yaml"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"--config '.*settings\.yaml' {message}") as error:
        train.main([word.format(path=path) for word in words])
    assert "\n" not in str(error.value)


def test_an_unknown_command_is_named_before_its_config(tmp_path):
    with pytest.raises(ArgumentError, match=r"unknown command 'fti': did you mean 'fit'. there are fit, .*layers"):
        train.main(["fti", "--config", str(tmp_path / "nowhere.yaml")])


def test_what_can_be_read_stays_as_it_is(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("model: {rows: 3}\n")
    for words in ([], ["--config", str(path)], ["fit", f"--config={path}", "--quiet"], ["--config"]):
        assert check_words(words, ["fit"]) == words
