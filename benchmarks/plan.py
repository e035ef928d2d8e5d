"""Every comparison that is made: who does what on which data, how often, and what is to be reached."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Optional

from benchmarks.workloads import ML_100K

OURS, RECBOLE, PEERS = "benchmarks.ours", "benchmarks.recboles", "benchmarks/peers.py"
FULL = "full"


@dataclass(frozen=True)
class Side:
    """One process of a comparison.

    Attributes:
        name: its column heading, such as ``ours`` or ``RecBole``.
        program: ``OURS``, ``RECBOLE`` or ``PEERS``.
        task: the function of that program.
        options: what the function is told.
        budget_of: name of the side whose training seconds, measured just before, are this one's budget.
    """

    name: str
    program: str
    task: str
    options: dict[str, Any] = field(default_factory=dict)
    budget_of: Optional[str] = None


@dataclass(frozen=True)
class Reach:
    """A target: a ratio of two sides' seconds, or a side's own number, and how high it may be.

    Attributes:
        what: in words, as the table shows it.
        sides: the sides it reads.
        of: from the medians of those sides, in that order, to the number.
        most: the highest value that meets the target.
    """

    what: str
    sides: tuple[str, ...]
    of: Callable[..., float]
    most: float


@dataclass(frozen=True)
class Comparison:
    """Sides that do the same on the same data, in turns."""

    name: str
    workload: str
    sides: tuple[Side, ...]
    repeats: int = 1
    reach: tuple[Reach, ...] = ()


def ours(task: str = "model", name: str = "ours", budget_of: Optional[str] = None, **options: Any) -> Side:
    """A side of this library."""
    return Side(name, OURS, task, options, budget_of)


def recbole(task: str = "model", **options: Any) -> Side:
    """A side of RecBole 1.2.1."""
    return Side("RecBole", RECBOLE, task, options)


def peer(task: str, name: str, **options: Any) -> Side:
    """A side of another library."""
    return Side(name, PEERS, task, options)


def ratio(phases: str, most: float, side: str = "ours", other: str = "RecBole") -> Reach:
    """At most ``most`` of the other side's seconds in these phases, joined by ``+``."""

    def of(mine: dict[str, float], theirs: dict[str, float]) -> float:
        return sum(mine[phase] for phase in phases.split("+")) / sum(theirs[phase] for phase in phases.split("+"))

    return Reach(f"{phases}: {side} / {other}", (side, other), of, most)


def memory(side: str, most_mb: float) -> Reach:
    """At most so many MiB at the peak."""
    return Reach(f"peak MiB: {side}", (side,), lambda mine: mine["peak_rss_mb"], most_mb)


def user_ratio(most: float) -> Reach:
    """At most ``most`` of RecBole's seconds to rank one user, where RecBole is stopped early."""

    def of(mine: dict[str, float], theirs: dict[str, float]) -> float:
        return (mine["rank"] / mine["users"]) / (theirs["rank"] / theirs["users"])

    return Reach("rank, a user: ours / RecBole", ("ours", "RecBole"), of, most)


def quality(margin: float = 0.0, side: str = "ours", other: str = "RecBole") -> Reach:
    """Recall@10 (plain) at most ``margin`` below the other side's."""

    def of(mine: dict[str, float], theirs: dict[str, float]) -> float:
        return theirs["recall_plain"] - mine["recall_plain"]

    return Reach(f"recall_plain@10: {other} - {side}", (side, other), of, margin)


def own(what: str, most: float, of: Callable[[dict[str, float]], float]) -> Reach:
    """A number of our side alone."""
    return Reach(what, ("ours",), of, most)


_ALL = "load+fit+rank"
AUTOENCODERS = {
    "MultiVAE": {"mlp_hidden_size": [600], "latent_dimension": 128, "train_batch_size": 512},
    "MultiDAE": {"mlp_hidden_size": [600], "latent_dimension": 64, "train_batch_size": 512},
    "RecVAE": {"hidden_dimension": 600, "latent_dimension": 200, "train_batch_size": 512},
}
_CONTEXT = {
    "DeepFM": {"embedding_size": 16, "mlp_hidden_size": [128, 128]},
    "FM": {"embedding_size": 16},
    "FFM": {"embedding_size": 16},
}

COMPARISONS: tuple[Comparison, ...] = (
    Comparison(
        "load",
        FULL,
        (ours("first_load"), ours("further_load", name="ours, further"), recbole("load")),
        repeats=3,
        reach=(ratio("load", 1 / 6), ratio("load", 1 / 20, side="ours, further"), memory("ours", 1536)),
    ),
    Comparison(
        "EASE",
        FULL,
        (
            ours(model="EASE", parameters={"reg_weight": 250.0}),
            recbole(model="EASE", parameters={"reg_weight": 250.0}),
            peer("rectools_ease", "RecTools", reg_weight=250.0),
            peer("lenskit_ease", "LensKit", reg_weight=250.0, users=3000),
        ),
        repeats=2,
        reach=(ratio(_ALL, 1 / 4), ratio("rank", 0.6), quality(5e-5)),
    ),
    Comparison(
        "EASE-float64",
        FULL,
        (ours("float64_ease"),),
        reach=(
            own("share of users whose ten differ", 0.001, lambda side: 1 - side["equal_users"]),
            own("Recall@10, difference", 5e-5, lambda side: abs(side["recall"] - side["recall_float64"])),
        ),
    ),
    Comparison(
        "neighbours",
        FULL,
        (
            ours(model="ItemKNN"),
            ours(model="UserKNN", name="ours, UserKNN"),
            recbole(model="ItemKNN"),
            peer("implicit_itemknn", "implicit", k=100),
            peer("lenskit_itemknn", "LensKit", k=100, users=3000),
        ),
        reach=(
            ratio(_ALL, 1 / 20),
            ratio(_ALL, 1 / 20, side="ours, UserKNN"),
            ratio("fit+rank", 1.0, other="implicit"),
            memory("ours", 2048),
            memory("ours, UserKNN", 2048),
        ),
    ),
    Comparison(
        "BPR",
        FULL,
        (
            ours(model="BPR", epochs=2, parameters={"embedding_size": 64, "learning_rate": 0.001}),
            recbole(model="BPR", epochs=2, parameters={"embedding_size": 64, "learning_rate": 0.001}),
            peer("implicit_bpr", "implicit", factors=64, iterations=30),
        ),
        repeats=3,
        reach=(ratio("epoch", 1 / 2), ratio("rank", 1.0), quality(0.002)),
    ),
    Comparison(
        "BPRSGD",
        FULL,
        (
            peer("implicit_bpr", "implicit", factors=64, iterations=30),
            ours(model="BPRSGD", budget_of="implicit"),
        ),
        reach=(quality(0.0, other="implicit"),),
    ),
    Comparison(
        "ALS",
        FULL,
        (ours(model="ALS"), peer("implicit_als", "implicit", factors=64, iterations=15)),
        reach=(ratio("fit+rank", 1.0, other="implicit"),),
    ),
    *(
        Comparison(
            name,
            FULL,
            (ours(model=name, epochs=2, parameters=changes), recbole(model=name, epochs=2, parameters=changes)),
            reach=(ratio("epoch", 1 / 2), ratio("rank", 1 / 5)),
        )
        for name, changes in AUTOENCODERS.items()
    ),
    *(
        Comparison(
            name,
            FULL,
            (
                ours(model=name, epochs=1, parameters={**changes, "rows_per_epoch": 8192}),
                recbole(model=name, epochs=0, parameters=changes, rank_seconds=60),
            ),
            reach=(user_ratio(1 / 10),),
        )
        for name, changes in _CONTEXT.items()
    ),
    *(
        Comparison(
            name,
            ML_100K,
            (
                recbole("sequential", model=name, epochs=1, parameters={"train_batch_size": 2048}),
                ours(model=name, epochs=3, name="ours"),
                ours(model=name, name="ours, equal time", budget_of="RecBole"),
            ),
            reach=(ratio("epoch", 1 / 30), quality(0.0, side="ours, equal time")),
        )
        for name in ("SASRec", "GRU4Rec", "BERT4Rec")
    ),
    Comparison(
        "SASRec-RecTools",
        ML_100K,
        (peer("rectools_sasrec", "RecTools"), ours(model="SASRec", budget_of="RecTools")),
        reach=(quality(0.0, other="RecTools"),),
    ),
    Comparison(
        "SASRec-full",
        FULL,
        (ours(model="SASRec", epochs=1, parameters={"windows_per_epoch": 0}),),
        reach=(memory("ours", 4096), own("minutes an epoch", 10, lambda side: side["epoch"] / 60)),
    ),
)
