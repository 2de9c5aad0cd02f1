"""Shipped configurations are found from any folder; a file of that name in the working folder comes first."""

from commands.shipped import ROOT, find_configs

OURS = "configs/quickstart.yaml"


def test_a_shipped_configuration_is_found_from_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = str(ROOT / OURS)
    words = [
        "fit",
        "--config",
        OURS,
        f"--config={OURS}",
        "--config",
        "configs/none.yaml",
        "--data.root",
        OURS,
        "-c",
        OURS,
    ]
    expected = ["fit", "--config", path, f"--config={path}", "--config", "configs/none.yaml", "--data.root", OURS]
    expected += ["-c", path]
    assert find_configs(words) == expected
    (tmp_path / "configs").mkdir()
    (tmp_path / OURS).write_text("")
    assert find_configs(words) == words, "the user's own file of that name"
