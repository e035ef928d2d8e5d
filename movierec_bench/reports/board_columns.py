"""The columns of a board beyond ``schema.BOARD_COLUMNS``, what kind of value each column holds, and its states."""

from __future__ import annotations

from movierec_bench.evaluation.confidence_set import P_BEST
from movierec_bench.runs.records import ENSEMBLE, STATES
from movierec_bench.schema import (
    CI_HIGH,
    CI_LOW,
    COVERAGE,
    EPOCHS,
    ERROR,
    FAMILIES,
    FAMILY,
    METRICS,
    MISSING_USERS,
    MODEL,
    PLACE,
    SOURCE,
    STATUS,
    USERS,
)

FILTER, DEVICE = "filter", "device"
MAY_BE_BEST = "may_be_best"  # "yes" or "no" for every model that was compared
YES, NO = "yes", "no"
TEST_FIT_SECONDS, SEED, MADE_WITH = "test_fit_seconds", "seed", "made_with"

UNFINISHED = "unfinished"  # shown for a folder without a status: in training, or its process was killed
STALE = "stale"  # a mix whose members were redone since
DAMAGED = "damaged"  # a result with a file that is not what its status vouches for
BOARD_STATES = (*STATES, UNFINISHED, STALE, DAMAGED)
BOARD_FAMILIES = (*FAMILIES, ENSEMBLE)

COUNTS = (PLACE, USERS, MISSING_USERS, EPOCHS, SEED)
TEXTS = (MODEL, FAMILY, SOURCE, STATUS, ERROR, FILTER, DEVICE, MAY_BE_BEST, MADE_WITH)
FURTHER_COLUMNS = (FILTER, DEVICE, P_BEST, MAY_BE_BEST, TEST_FIT_SECONDS, SEED, MADE_WITH)

# Where models have several seeds of training, or the run several splits: how many, and what they come to.
SEEDS, SPLITS = "seeds", "splits"
REPETITIONS = (SEEDS, SPLITS)
MEAN, DEVIATION, MEAN_LOW, MEAN_HIGH = "mean", "sd", "low", "high"  # of either kind: ``seeds_mean`` and so on
OF_REPETITIONS = (MEAN, DEVIATION, MEAN_LOW, MEAN_HIGH)
SPLITS_DIFFERENCES = ("splits_difference", "splits_difference_low", "splits_difference_high")  # to the first place
REPETITION_FRACTIONS = (*(f"{kind}_{part}" for kind in REPETITIONS for part in OF_REPETITIONS), *SPLITS_DIFFERENCES)

# Sorted from the largest; all others from the smallest.
FRACTIONS = (*METRICS, CI_LOW, CI_HIGH, COVERAGE, *REPETITION_FRACTIONS)
