"""A record of a family, made up."""

from raymm.report.family_record import Cell, FamilyRecord, FamilyRun, FamilyVariant


def toy_family(axis: str = "", label: str = "weak <b>$x$</b>") -> FamilyRecord:
    """Two variants, two seeds, one slice family, one failed run."""
    own = {"0": 0.2, "1": 0.3}
    cells = [
        Cell("films", "all", "everybody", "recall@20", "full", 9, {"0": 0.4}),
        Cell("films", "all", "everybody", "recall@20", label, 9, own, "full", -0.15, (-0.3, -0.01), 0.02),
        Cell("films", "item popularity", "head", "recall@20", "full", 4, {"0": 0.4}),
        Cell("films", "item popularity", "group 1 of 5, most popular", "recall@20", "full", 4, {"0": 0.4}),
        Cell(
            "films",
            "item popularity",
            "group 1 of 5, most popular",
            "recall@20",
            label,
            4,
            own,
            "full",
            0.1,
            (0.05, 0.2),
        ),
        Cell("films", "catalogue", "everybody", "gini@20", "full", 9, {"0": 0.7}),
    ]
    x = (1.0, 2.0) if axis else (None, None)
    variants = (
        FamilyVariant("full", "gume", "default", {}, "ab", x[0]),
        FamilyVariant(label, "gume", "default", {"settings.graph.link_neighbours": 0}, "ab", x[1]),
    )
    runs = (
        FamilyRun("full", 0, "full-seed0-1", "finished", 3, 0.4, 2.0),
        FamilyRun(label, 2, "weak-seed2-1", "failed", 0, None, 0.0, "loss is <nan>"),
    )
    return FamilyRecord(
        name="toy",
        title="Is it <needed>?",
        data="ml100k",
        data_fingerprint="ab",
        reference="full",
        metrics=("recall@20",),
        created=0.0,
        variants=variants,
        runs=runs,
        cells=tuple(cells),
        axis=axis,
        notes=("one note",),
    )
