"""Cut MovieLens-100k into two domains by genre, for work on two domains that share taste.

    python jobs/genre_split.py --films ml-100k --output ml_genres --target b --cold-share 0.5
    raymm prepare ml_genres/recipe.toml --output prepared/ml_genres
    python jobs/genre_split.py --films ml-100k --output ml_films --task ranking --posters posters.parquet

Domain `a` are films of action, adventure, crime, film-noir, horror, mystery, sci-fi, thriller, war or western; `b` all
others. The films and ratings are real, the two domains are made: every user is in both, and taste carries over more
than between, say, books and music. The folder gets ratings; titles, genres and the years around each film's, as words,
and plots where `items.csv` (`movie_id`, `overview`) lies beside the ratings; and a recipe. That of the task `cold`
makes a share of the users cold in the target, for ratings. That of `ranking` holds out everybody's last film of 4 or 5,
has the modalities title, plot and poster (what there is of them; `jobs/thumbnails.py` makes the last), and cuts the
histories of a share of the users in the target to 0, 1, 2 or 5 films, where `--short` asks for it.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from pathlib import Path

FIRST = ("Action", "Adventure", "Crime", "Film-Noir", "Horror", "Mystery", "Sci-Fi", "Thriller", "War", "Western")
GENRES = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama"),
    *("Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
SOURCES = """\
name = "ml_genres"
domains = ["a", "b"]

[[interactions]]
path = "ratings.tsv"
columns = { domain = "domain", user = "user", item = "item", rating = "rating", time = "timestamp" }

[[items]]
path = "items.tsv"
columns = { domain = "domain", item = "item", title = "title" }
"""
COLD = """
[cleaning]
core_users = 1
core_items = 1
min_history = 1

[split]
kind = "cold_start"
target = "{target}"
cold_share = {cold}
validation_share = {validation}
seed = {seed}
positive_rating = 4.0

[[features]]
name = "title"
column = "title"
dimension = 64

[[features]]
name = "genres"
column = "genres"
dimension = 16
max_missing = 0.5

[[features]]
name = "years"
column = "years"
dimension = 32
max_missing = 0.5
"""
RANKING = """
[cleaning]
min_rating = 4.0

[split]
kind = "leave_last_out"
by = "time"

[overlap]
shared_ratio = 0.9

[[features]]
name = "title"
column = "title"
dimension = 64
"""
PLOT = """
[[features]]
name = "plot"
column = "plot"
dimension = 64
"""
POSTER = """
[[features]]
name = "poster"
encoder = "vectors"
path = "{path}"
"""
SHORT = """
[truncation]
domain = "{target}"
share = {share}
seed = {seed}
lengths = [0, 1, 2, 5]
"""


def main() -> int:
    """Read u.data and u.item, write ratings.tsv, items.tsv and recipe.toml."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=Path, required=True, metavar="DIR", help="folder with u.data and u.item")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--task", choices=("cold", "ranking"), default="cold", help="what the recipe is for")
    parser.add_argument("--target", choices=("a", "b"), default="b", help="domain in which users are cold, or short")
    parser.add_argument("--short", type=float, metavar="SHARE", help="ranking: share of the users with few films left")
    parser.add_argument("--posters", type=Path, metavar="FILE", help="ranking: Parquet file of jobs/thumbnails.py")
    parser.add_argument("--cold-share", type=float, default=0.5, help="cold: share of the users who are (default: .5)")
    parser.add_argument("--validation-share", type=float, default=0.1, help="cold: share of the others for selection")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw of cold, or short, users")
    chosen = parser.parse_args()
    if missing := [name for name in ("u.data", "u.item") if not (chosen.films / name).is_file()]:
        parser.error(f"no {' and no '.join(missing)} in {chosen.films}: unpack ml-100k.zip and name its folder")
    if not (0 < chosen.cold_share < 1 and 0 < chosen.validation_share < 1):
        parser.error("--cold-share and --validation-share lie between 0 and 1")
    if chosen.short is not None and not 0 < chosen.short <= 1:
        parser.error("--short lies between 0 and 1")
    if chosen.task == "cold" and (chosen.short is not None or chosen.posters is not None):
        parser.error("--short and --posters are for --task ranking")
    if chosen.posters is not None and not chosen.posters.is_file():
        parser.error(f"no file {chosen.posters}: make it with jobs/thumbnails.py")
    chosen.output.mkdir(parents=True, exist_ok=True)
    try:
        plots = read_plots(chosen.films / "items.csv")
    except (ValueError, KeyError) as error:
        parser.error(
            f"{chosen.films / 'items.csv'}: found no {error}; its columns movie_id and overview hold the plots"
        )
    try:
        domain_of = split_films(chosen.films / "u.item", plots, chosen.output / "items.tsv")
        count = write_ratings(chosen.films / "u.data", domain_of, chosen.output / "ratings.tsv")
    except (ValueError, KeyError) as error:
        parser.error(f"{chosen.films} is not as MovieLens-100k has it: {error}")
    (chosen.output / "recipe.toml").write_text(SOURCES + _task(chosen, bool(plots)))
    films = list(domain_of.values())
    sys.stdout.write(f"{count:,} ratings; {films.count('a')} films in a, {films.count('b')} in b\n")
    return 0


def _task(chosen: argparse.Namespace, has_plots: bool) -> str:
    """Write the part of the recipe that depends on the task."""
    if chosen.task == "cold":
        return COLD.format(
            target=chosen.target, cold=chosen.cold_share, validation=chosen.validation_share, seed=chosen.seed
        )
    parts = [RANKING, PLOT if has_plots else ""]
    if chosen.posters is not None:
        parts.append(POSTER.format(path=chosen.posters.resolve()))
    if chosen.short is not None:
        parts.append(SHORT.format(target=chosen.target, share=chosen.short, seed=chosen.seed))
    return "".join(parts)


def read_plots(source: Path) -> dict[str, str]:
    """Read film to plot, one line each; empty without the file."""
    if not source.is_file():
        return {}
    with source.open(encoding="utf-8", newline="") as rows:
        return {row["movie_id"]: " ".join((row["overview"] or "").split()) for row in csv.DictReader(rows)}


def split_films(source: Path, plots: dict[str, str], target: Path) -> dict[str, str]:
    """Write titles, genres, years and plots, and return the domain of each film."""
    domain_of = {}
    with source.open(encoding="latin-1") as lines, target.open("w", encoding="utf-8") as written:
        written.write("domain\titem\ttitle\tgenres\tyears\tplot\n")
        for line in lines:
            film, title, *rest = line.rstrip("\r\n").split("|")
            genres = {genre for genre, flag in zip(GENRES, rest[-len(GENRES) :], strict=True) if flag == "1"}
            domain_of[film] = "a" if genres & set(FIRST) else "b"
            words = " ".join(sorted(re.sub(r"\W", "", genre) for genre in genres - {"unknown"}))
            plot = plots.get(film, "")
            written.write(f"{domain_of[film]}\t{film}\t{title}\t{words}\t{_years_around(title)}\t{plot}\n")
    return domain_of


def _years_around(title: str) -> str:
    """Name the years near that of a title, `Film (1995)`: films of one time have words in common."""
    found = re.search(r"\((\d{4})\)", title)
    return " ".join(f"y{int(found[1]) + apart}" for apart in range(-3, 4)) if found else ""


def write_ratings(source: Path, domain_of: dict[str, str], target: Path) -> int:
    """Write ratings with their films' domains, and return how many."""
    count = 0
    with source.open() as lines, target.open("w") as written:
        written.write("domain\tuser\titem\trating\ttimestamp\n")
        for count, line in enumerate(lines, 1):  # noqa: B007 - the last count is returned
            user, film, rating, time = line.split()
            written.write(f"{domain_of[film]}\t{user}\t{film}\t{rating}\t{time}\n")
    return count


if __name__ == "__main__":
    sys.exit(main())
