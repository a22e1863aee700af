"""What can be typed after `raymm`, and its help."""

from __future__ import annotations

import argparse
from pathlib import Path

import raymm
from raymm import config
from raymm.cli import compare, describe, experiment, export, pull, recommend, tune
from raymm.cli.names import folder_name
from raymm.experiment import describe_experiment
from raymm.models.registry import MODELS
from raymm.transport.population import PopulationConfig

_EXAMPLES = """\
examples:
  raymm prepare raymm/data/samples/arts_office/recipe.toml --output prepared/arts_office
  raymm describe prepared/arts_office
  raymm train sieoug --data prepared/arts_office --name first
  raymm train sieoug --data prepared/arts_office --preset paper --set train.loop.epochs=50
  raymm tune sieoug lightgcn ease --data prepared/arts_office --name first --trials 20
  raymm evaluate runs/first
  raymm register runs/first --name raymm-sieoug --alias champion
  raymm match --source A.parquet --target B.parquet --anchors pairs.parquet --output matchings/first
  raymm settings sieoug
"""

_MATCH = """\
Match the users of two populations, and say how far the answer is from the optimum.

files:
  --source and --target hold one row a user.
    Parquet (a file, or a folder of *.parquet): a column of ids (strings or whole numbers; `id`, or --id-column) and
    either ONE column of lists of numbers or columns of numbers only, one a dimension; no other columns.
    X.npy: (users, dimensions); ids are the lines of X.ids.txt beside it or, without it, row numbers from 0.
  --anchors holds pairs that are known to be one person: Parquet with columns source_id and target_id.

settings:
  With 20 anchors or more, cost, epsilon and marginals are chosen by hiding half of the anchors and finding them again;
  whatever is named on the command line is kept. `raymm settings match` lists all that --set takes.

interrupted:
  The same command goes on from the last iteration, kept in .matching beside --output.

new users:
  --extend MATCHING --source new.parquet --output DIR lists the partners of source users who came later. Nothing is
  solved again: they get the rows that the plan's potentials give them. `raymm export` writes the users of a run.
"""


def make_parser() -> argparse.ArgumentParser:
    """Build the parser of all verbs."""
    parser = argparse.ArgumentParser(
        prog="raymm",
        description="Train multi-modal and cross-domain recommendation models on Ray.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"raymm {raymm.__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    _prepare(_verb(verbs, "prepare", "read, clean and split raw data, and compute features"))
    describe.add_arguments(_verb(verbs, "describe", "show what a prepared set holds, as a table and a page"))
    _train(_verb(verbs, "train", "train a model on a prepared set"))
    _tune(_verb(verbs, "tune", "search the settings of one model or of several, and compare them"))
    family = _verb(verbs, "experiment", "train, evaluate and compare the variants of a family file")
    experiment.add_arguments(family)
    _tracking(family)
    _ray(family)
    _evaluate(_verb(verbs, "evaluate", "rank the test set with a run, beside popularity, and write a report"))
    compare.add_arguments(_verb(verbs, "compare", "compare evaluated runs user by user, whole and by slice"))
    _register(_verb(verbs, "register", "put an evaluated run into the MLflow model registry"))
    _pipeline(_verb(verbs, "pipeline", "prepare, train, evaluate and register in one go"))
    _match(_verb(verbs, "match", "match the users of two populations by optimal transport, with a certificate"))
    pulling = _verb(verbs, "pull", "bring a registered model to a folder")
    pull.add_arguments(pulling)
    _tracking(pulling)
    ranking = _verb(verbs, "recommend", "rank the best items for all users of a model, as Parquet")
    recommend.add_arguments(ranking)
    _tracking(ranking)
    _ray(ranking)
    export.add_arguments(_verb(verbs, "export", "write the users of a run as Parquet, for `raymm match`"))
    settings = _verb(
        verbs, "settings", "list every setting of a model's run or of a matching, with default and meaning"
    )
    settings.add_argument("model", choices=[*sorted(MODELS), "match"])
    return parser


def settings_table(model: str) -> list[tuple[str, str, str]]:
    """List name, default and meaning of every setting that `--set` takes; `match` stands for `raymm match`."""
    return config.describe(PopulationConfig) if model == "match" else describe_experiment(model)


def _verb(verbs: argparse._SubParsersAction[argparse.ArgumentParser], name: str, words: str) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=words, description=words[0].upper() + words[1:] + ".", allow_abbrev=False)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def _prepare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", type=Path, help="TOML file that says where the data are and how to prepare them")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--force", action="store_true", help="replace what stands at --output")
    _ray(parser)


def _train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", choices=sorted(MODELS), help="which model")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="prepared folder")
    parser.add_argument(
        "--name", type=folder_name, help="name of the run; an interrupted run of this name goes on (default: by time)"
    )
    _experiment(parser)
    _tracking(parser)
    _ray(parser)


def _tune(parser: argparse.ArgumentParser) -> None:
    tune.add_arguments(parser)
    _tracking(parser)
    _ray(parser)


def _evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("--data", type=Path, metavar="DIR", help="prepared folder, if it was moved since training")
    parser.add_argument("--force", action="store_true", help="evaluate again, over an earlier report")
    _tracking(parser)


def _register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, help="run folder, evaluated")
    parser.add_argument("--data", type=Path, metavar="DIR", help="prepared folder, if it was moved since training")
    parser.add_argument(
        "--force",
        action="store_true",
        help="give it the alias even if the model that has it is not shown to be worse on validation",
    )
    _model_name(parser)
    _tracking(parser)


def _pipeline(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", choices=sorted(MODELS), help="which model")
    parser.add_argument("--recipe", type=Path, help="recipe to prepare (default: the bundled Arts and Office sample)")
    parser.add_argument(
        "--prepared",
        type=Path,
        metavar="DIR",
        help="where the prepared set goes, or stands already (default: by recipe)",
    )
    parser.add_argument("--run-name", type=folder_name, metavar="NAME", help="name of the run (default: by time)")
    _model_name(parser)
    _experiment(parser)
    _tracking(parser)
    _ray(parser)


def _match(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.formatter_class = _MATCH, argparse.RawDescriptionHelpFormatter
    parser.add_argument("--source", type=Path, required=True, metavar="FILE", help="embeddings of the users to match")
    parser.add_argument("--target", type=Path, metavar="FILE", help="embeddings of their candidates")
    parser.add_argument("--anchors", type=Path, metavar="FILE", help="known pairs (default: none are known)")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--extend", type=Path, metavar="DIR", help="matching whose target --source is matched to")
    parser.add_argument("--id-column", default="id", metavar="NAME", help="column of ids in Parquet (default: id)")
    parser.add_argument("--top-k", type=int, metavar="K", help="partners listed for each user (default: 32)")
    parser.add_argument("--epsilon", type=float, help="entropic weight, in the unit of the cost (default: chosen)")
    parser.add_argument("--target-gap", type=float, metavar="GAP", help="relative gap to reach (default: 0.01)")
    parser.add_argument("--bound", choices=("deterministic", "sampled"), help="kind of the lower bound")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="one setting")
    parser.add_argument(
        "--choose",
        action=argparse.BooleanOptionalAction,
        help="choose settings on hidden anchors, or keep the defaults (default: choose with 20 anchors or more)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of everything that is drawn (default: 0)")
    parser.add_argument("--workers", type=int, default=0, help="Ray actors; 0 works in this process (default: 0)")
    parser.add_argument("--device", help="where this process computes, for example cuda (default: cpu)")
    parser.add_argument("--force", action="store_true", help="replace what stands at --output")
    _ray(parser)


def _experiment(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file with what differs from the defaults")
    parser.add_argument("--preset", help="named settings to start from (sieoug: default, paper)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="one setting, for example train.loop.epochs=50; `raymm settings MODEL` lists all",
    )
    parser.add_argument(
        "--workers", type=int, help="Ray Train workers, short for --set scale.workers=N; 0 trains in one process"
    )
    parser.add_argument("--domain", help="the one domain to train on, short for --set train.domain=NAME")
    parser.add_argument(
        "--known-pairs",
        choices=("drawn", "none", "true", "shuffled"),
        default="drawn",
        help="which shared users training knows: the recipe's draw, none, all of them (oracle), or wrong ones",
    )
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="folder of runs (default: runs)")


def _model_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", help="name in the registry (default: raymm-MODEL)")
    parser.add_argument("--alias", default="champion", help="alias that points at this version (default: champion)")


def _tracking(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tracking-uri",
        metavar="URI",
        help="MLflow server or database (default: MLFLOW_TRACKING_URI, else sqlite in --store)",
    )
    parser.add_argument(
        "--store", type=Path, default=Path(), metavar="DIR", help="folder of the embedded store (default: here)"
    )
    parser.add_argument("--no-tracking", action="store_true", help="leave MLflow alone")


def _ray(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--address",
        help="Ray cluster: `local`, `auto` (one on this machine) or host:port (default: RAY_ADDRESS, else local)",
    )
