"""Films are cut by genre, every rating is kept, and the recipe is one that raymm reads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from raymm.data.recipe import Recipe, read_recipe

JOB = Path(__file__).parents[2] / "jobs" / "genre_split.py"


def test_a_film_of_action_is_in_a_and_a_comedy_in_b(tmp_path: Path) -> None:
    flags = {"1": [1], "2": [5], "3": [1, 5]}  # places of genres: 1 is action, 5 comedy
    lines = [
        f"{film}|Füm {film} (1995)|date||url|" + "|".join(str(int(n in on)) for n in range(19))
        for film, on in flags.items()
    ]
    (tmp_path / "u.item").write_bytes("\n".join(lines).encode("latin-1"))
    (tmp_path / "u.data").write_text("7\t1\t5\t880000000\n7\t2\t3\t880000001\n8\t3\t1\t880000002\n")
    command = [sys.executable, str(JOB), "--films", str(tmp_path), "--output", str(tmp_path / "made"), "--target", "a"]
    subprocess.run(command, check=True, capture_output=True)
    rows = [line.split("\t") for line in (tmp_path / "made" / "ratings.tsv").read_text().splitlines()[1:]]
    assert [row[:3] for row in rows] == [["a", "7", "1"], ["b", "7", "2"], ["a", "8", "3"]]
    assert "Füm 2" in (tmp_path / "made" / "items.tsv").read_text(encoding="utf-8")
    recipe = read_recipe(tmp_path / "made" / "recipe.toml")
    assert (recipe.split.kind, recipe.split.target, recipe.split.cold_share) == ("cold_start", "a", 0.5)


def test_for_rankings_the_recipe_has_what_there_is_of_the_films(tmp_path: Path) -> None:
    (tmp_path / "u.item").write_text("1|Film (1995)|d||u|" + "|".join(str(int(n == 1)) for n in range(19)) + "\n")
    (tmp_path / "u.data").write_text("7\t1\t5\t880000000\n")
    posters = tmp_path / "posters.parquet"
    posters.write_bytes(b"")
    command = [sys.executable, str(JOB), "--films", str(tmp_path), "--task", "ranking", "--output"]

    def made(name: str, *more: str) -> Recipe:
        subprocess.run([*command, str(tmp_path / name), *more], check=True, capture_output=True)
        return read_recipe(tmp_path / name / "recipe.toml")

    plain = made("plain")
    assert (plain.split.kind, plain.cleaning.min_rating, plain.truncation.share) == ("leave_last_out", 4.0, 0)
    assert [modality.name for modality in plain.features] == ["title"]
    (tmp_path / "items.csv").write_text('movie_id,overview\n1,"A man,\na plan"\n')
    rich = made("rich", "--posters", str(posters), "--short", "0.5", "--target", "a")
    assert [modality.name for modality in rich.features] == ["title", "plot", "poster"]
    assert (rich.truncation.domain, rich.truncation.share, rich.truncation.lengths) == ("a", 0.5, (0, 1, 2, 5))
    assert (tmp_path / "rich" / "items.tsv").read_text().splitlines()[1].split("\t")[-1] == "A man, a plan"


def test_what_is_not_movielens_is_named(tmp_path: Path) -> None:
    def said(*more: str) -> str:
        command = [sys.executable, str(JOB), "--films", str(tmp_path), "--output", str(tmp_path / "made"), *more]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == 2
        return done.stderr.splitlines()[-1]

    assert "no u.data and no u.item" in said()
    (tmp_path / "u.item").write_text("1|Film\n")
    (tmp_path / "u.data").write_text("7\t1\t5\t880000000\n")
    assert "not as MovieLens-100k has it" in said()
    assert "between 0 and 1" in said("--cold-share", "1.5")
    assert "between 0 and 1" in said("--task", "ranking", "--short", "1.5")
    assert "are for --task ranking" in said("--short", "0.5")
    assert "jobs/thumbnails.py" in said("--task", "ranking", "--posters", str(tmp_path / "none"))
