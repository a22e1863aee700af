"""Results that GUME's authors published for it and the models beside it (arXiv 2407.12338, main table and ablation).

Data sets are Amazon 2014, five-core, random split; recall and NDCG at 10 and 20 over all items. Values are what the
table shows, one mistake included: on Clothing it repeats VBPR, MMGCN and SLMRec from Baby (`REPEATED`).
"""

from __future__ import annotations

METRICS = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")
MODELS = ("mf_bpr", "lightgcn", "vbpr", "mmgcn", "slmrec", "lattice", "bm3", "mgcn", "mentor", "gume")
_ROWS = {
    "baby": (
        ".0357 .0479 .0423 .0378 .0540 .0547 .0564 .0620 .0678 .0673",
        ".0575 .0754 .0663 .0615 .0810 .0850 .0883 .0964 .1048 .1042",
        ".0192 .0257 .0223 .0200 .0285 .0292 .0301 .0339 .0362 .0365",
        ".0249 .0328 .0284 .0261 .0357 .0370 .0383 .0427 .0450 .0460",
    ),
    "sports": (
        ".0432 .0569 .0558 .0370 .0676 .0620 .0656 .0729 .0763 .0778",
        ".0653 .0864 .0856 .0605 .1017 .0953 .0980 .1106 .1139 .1165",
        ".0241 .0313 .0307 .0193 .0374 .0335 .0355 .0397 .0409 .0427",
        ".0298 .0387 .0384 .0254 .0462 .0421 .0438 .0496 .0511 .0527",
    ),
    "clothing": (
        ".0187 .0340 .0423 .0378 .0540 .0492 .0422 .0641 .0668 .0703",
        ".0279 .0526 .0663 .0615 .0810 .0733 .0621 .0945 .0989 .1024",
        ".0103 .0188 .0223 .0200 .0285 .0268 .0231 .0347 .0360 .0384",
        ".0126 .0236 .0284 .0261 .0357 .0330 .0281 .0428 .0441 .0466",
    ),
    "electronics": (
        ".0235 .0363 .0293 .0207 .0422 - .0437 .0442 .0439 .0458",
        ".0367 .0540 .0453 .0331 .0630 - .0648 .0650 .0655 .0680",
        ".0127 .0204 .0159 .0109 .0237 - .0247 .0246 .0244 .0253",
        ".0161 .0250 .0202 .0141 .0291 - .0302 .0302 .0300 .0310",
    ),
}
REPEATED = ("vbpr", "mmgcn", "slmrec")

# Data set to variant to (recall@20, ndcg@20).
ABLATION = {
    "baby": {
        "gume": (0.1042, 0.0460),
        "links": (0.1039, 0.0460),
        "alignment": (0.0954, 0.0417),
        "user": (0.1011, 0.0449),
    },
    "sports": {
        "gume": (0.1165, 0.0527),
        "links": (0.1155, 0.0525),
        "alignment": (0.1076, 0.0477),
        "user": (0.1127, 0.0509),
    },
    "clothing": {
        "gume": (0.1024, 0.0466),
        "links": (0.1003, 0.0456),
        "alignment": (0.0862, 0.0387),
        "user": (0.0988, 0.0450),
    },
    "electronics": {
        "gume": (0.0680, 0.0310),
        "links": (0.0679, 0.0310),
        "alignment": (0.0642, 0.0290),
        "user": (0.0656, 0.0303),
    },
}


def published(data: str, metric: str) -> dict[str, float]:
    """Return model to value; a model without a value there, or with one from another data set, is left out."""
    values = dict(zip(MODELS, _ROWS[data][METRICS.index(metric)].split(), strict=True))
    wrong = REPEATED if data == "clothing" else ()
    return {model: float(value) for model, value in values.items() if value != "-" and model not in wrong}


def as_printed(data: str, model: str) -> tuple[str, ...]:
    """Return a model's four values as the table prints them."""
    return tuple(row.split()[MODELS.index(model)] for row in _ROWS[data])
