"""Cut MovieLens-100k into two domains by genre, for work on cold users where nothing larger is at hand.

    python jobs/genre_split.py --films ml-100k --output ml_genres --target b --cold-share 0.5
    raymm prepare ml_genres/recipe.toml --output prepared/ml_genres

Domain `a` are films of action, adventure, crime, film-noir, horror, mystery, sci-fi, thriller, war or western; `b` all
others. The films and ratings are real, the two domains are made: every user is in both, and taste carries over more
than between, say, books and music. The folder gets ratings; titles, genres and the years around each film's, as words;
and a recipe whose split makes a share of the users cold in the target.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

FIRST = ("Action", "Adventure", "Crime", "Film-Noir", "Horror", "Mystery", "Sci-Fi", "Thriller", "War", "Western")
GENRES = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama"),
    *("Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
RECIPE = """\
name = "ml_genres"
domains = ["a", "b"]

[[interactions]]
path = "ratings.tsv"
columns = {{ domain = "domain", user = "user", item = "item", rating = "rating", time = "timestamp" }}

[[items]]
path = "items.tsv"
columns = {{ domain = "domain", item = "item", title = "title" }}

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


def main() -> int:
    """Read u.data and u.item, write ratings.tsv, items.tsv and recipe.toml."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=Path, required=True, metavar="DIR", help="folder with u.data and u.item")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--target", choices=("a", "b"), default="b", help="domain in which users are cold")
    parser.add_argument("--cold-share", type=float, default=0.5, help="share of the users who are cold (default: .5)")
    parser.add_argument("--validation-share", type=float, default=0.1, help="share of the others for selection")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw of cold users")
    chosen = parser.parse_args()
    if missing := [name for name in ("u.data", "u.item") if not (chosen.films / name).is_file()]:
        parser.error(f"no {' and no '.join(missing)} in {chosen.films}: unpack ml-100k.zip and name its folder")
    if not (0 < chosen.cold_share < 1 and 0 < chosen.validation_share < 1):
        parser.error("--cold-share and --validation-share lie between 0 and 1")
    chosen.output.mkdir(parents=True, exist_ok=True)
    try:
        domain_of = split_films(chosen.films / "u.item", chosen.output / "items.tsv")
        count = write_ratings(chosen.films / "u.data", domain_of, chosen.output / "ratings.tsv")
    except (ValueError, KeyError) as error:
        parser.error(f"{chosen.films} is not as MovieLens-100k has it: {error}")
    recipe = RECIPE.format(
        target=chosen.target, cold=chosen.cold_share, validation=chosen.validation_share, seed=chosen.seed
    )
    (chosen.output / "recipe.toml").write_text(recipe)
    films = list(domain_of.values())
    sys.stdout.write(f"{count:,} ratings; {films.count('a')} films in a, {films.count('b')} in b\n")
    return 0


def split_films(source: Path, target: Path) -> dict[str, str]:
    """Write titles, genres and years, and return the domain of each film."""
    domain_of = {}
    with source.open(encoding="latin-1") as lines, target.open("w", encoding="utf-8") as written:
        written.write("domain\titem\ttitle\tgenres\tyears\n")
        for line in lines:
            film, title, *rest = line.rstrip("\r\n").split("|")
            genres = {genre for genre, flag in zip(GENRES, rest[-len(GENRES) :], strict=True) if flag == "1"}
            domain_of[film] = "a" if genres & set(FIRST) else "b"
            words = " ".join(sorted(re.sub(r"\W", "", genre) for genre in genres - {"unknown"}))
            written.write(f"{domain_of[film]}\t{film}\t{title}\t{words}\t{_years_around(title)}\n")
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
