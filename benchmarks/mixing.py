"""What mixes bring over draws of the protocol: ``python -m benchmarks.mixing DATA [DATA ...] --seeds 1,2,3``.

For each data set and each seed of the split, models are trained once, and what was chosen on validation rows is
compared on test rows: the best single model, the best rule as it is (how `auto` mixed before), `auto`, and a stack.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd

import movierec_bench as mb
from movierec_bench.evaluation.statistics import mean_interval
from movierec_bench.mixing.members import find_members, read_validation
from movierec_bench.mixing.mix import Mix
from movierec_bench.mixing.recipe import rule_text
from movierec_bench.mixing.routing import recalls
from movierec_bench.mixing.search import AUTO_RULES, cross_validate, folds_of
from movierec_bench.reports.user_segments import read_data
from movierec_bench.runs.folder import RunFolder
from movierec_bench.schema import MAIN_METRIC
from movierec_bench.settings.yaml_files import packaged_configs

MODELS = "fast,BPR,MultiVAE,RecVAE,-Random,-YearPop,-CreatorTop,-UserEASE,-ItemUserEASE"
BUDGET = 15  # seconds of training a model
RESULTS = Path(__file__).parent / "results" / "mixes" / "draws.json"


def train(data: str, seed: int, atomic: Path, out: Path) -> RunFolder:
    """The run of a data set under one draw of the protocol; one that is there is kept."""
    run = RunFolder(out / str(seed) / data)
    if not run.leaderboard("csv").exists():
        configs = out / "configs" / str(seed)
        configs.mkdir(parents=True, exist_ok=True)
        protocol = (packaged_configs() / "protocol.yaml").read_text(encoding="utf-8")
        drawn = re.sub(r"^seed: \d+", f"seed: {seed}", protocol, flags=re.MULTILINE)
        (configs / "protocol.yaml").write_text(drawn, encoding="utf-8")
        settings = {"budget": BUDGET, "no_refit": True, "seed": seed, "quiet": True, "no_track": True}
        mb.run(models=MODELS, dataset=data, atomic=atomic, out=out / str(seed), configs=configs, **settings)
    return run


def compare(run: RunFolder, data: str, seed: int, atomic: Path) -> dict[str, object]:
    """Test Recall@10 of everything that validation rows chose."""
    members = find_members(run, "all")
    auto = _mix(run, atomic, "auto")
    stack = _mix(run, atomic, "stack")
    search = auto.recipe.search or {}
    rules = {rule_text(rule): rule for rule in AUTO_RULES}
    best_rule = rules[max(rules, key=lambda name: search["candidates"][name])]
    users, validation = read_validation(run, members, read_data(run, atomic).vocabulary, 10_000, seed, with_scores=True)
    judged = cross_validate(validation, best_rule, folds_of(len(users), 5, seed), 20)
    options = {"depth": best_rule.depth, **({"rrf_k": best_rule.rrf_k} if best_rule.name == "rrf" else {})}
    whole = _mix(run, atomic, best_rule.name, name="whole", models=members, weights=list(judged.weights), **options)
    single = members[int(np.argmax(recalls(validation).mean(axis=1)))]
    return {
        "data": data,
        "seed": seed,
        "users": len(users),
        "single": single,
        "single_test": run.model(single).read_status().metrics[MAIN_METRIC],
        "best_on_test": max(folder.read_status().metrics[MAIN_METRIC] for folder in run.models()),
        "whole_test": whole.status.metrics[MAIN_METRIC],
        "auto_test": auto.status.metrics[MAIN_METRIC],
        "stack_test": stack.status.metrics[MAIN_METRIC],
        "auto_is": auto.recipe.learner or auto.recipe.rule,
        "share": search["share_of_mix"],
        "out_of_fold_gain": search[f"out_of_fold_{MAIN_METRIC}"] - search[f"best_single_out_of_fold_{MAIN_METRIC}"],
    }


def _mix(run: RunFolder, atomic: Path, method: str, **options: object) -> Mix:
    made = mb.ensemble(run.path, method=method, atomic=atomic, no_track=True, **options)
    assert isinstance(made, Mix)
    return made


def table(results: pd.DataFrame) -> str:
    """The results as Markdown: a row a draw, and of each data set the means, the gains and the worst draw."""
    lines = [
        "| data | seed | single, by validation | its test | best rule, whole | `stack` | `auto` | which is | share |",
        "|---|---:|---|---:|---:|---:|---:|---|---:|",
    ]
    for data, rows in results.groupby("data", sort=False):
        for row in rows.itertuples():
            numbers = f"{row.single_test:.4f} | {row.whole_test:.4f} | {row.stack_test:.4f} | {row.auto_test:.4f}"
            lines.append(f"| {data} | {row.seed} | {row.single} | {numbers} | {row.auto_is} | {row.share:.2f} |")
        columns = ("single_test", "whole_test", "stack_test", "auto_test")
        means = " | ".join(f"{rows[column].mean():.4f}" for column in columns)
        lines.append(f"| **{data}** | mean |  | {means} |  |  |")
        gains = {column: mean_interval((rows[column] - rows["single_test"]).tolist()) for column in columns[1:]}
        told = " | ".join(f"{gain.mean:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})" for gain in gains.values())
        lines.append(f"| **{data}** | mean gain, 95 % interval |  |  | {told} |  |  |")
        worst = " | ".join(f"{(rows[column] / rows['single_test'] - 1).min():+.1%}" for column in columns)
        lines.append(f"| **{data}** | worst, to the single |  | {worst} |  |  |")
    return "\n".join(lines)


def main() -> None:
    """Train and compare what was asked for, record it, and print the table of all that is recorded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="+", help="converted data sets")
    parser.add_argument("--seeds", default="1,2,3,4,5")
    parser.add_argument("--atomic", type=Path, default=Path("atomic_data"))
    parser.add_argument("--out", type=Path, default=Path("runs") / "mixing")
    asked = parser.parse_args()
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    for data in asked.data:
        for seed in map(int, asked.seeds.split(",")):
            run = train(data, seed, asked.atomic, asked.out)
            known = [row for row in known if (row["data"], row["seed"]) != (data, seed)]
            known.append(compare(run, data, seed, asked.atomic))
            RESULTS.parent.mkdir(parents=True, exist_ok=True)
            RESULTS.write_text(json.dumps(sorted(known, key=lambda row: (row["data"], row["seed"])), indent=1) + "\n")
            print(json.dumps(known[-1]), flush=True)
    print(table(pd.DataFrame(json.loads(RESULTS.read_text()))))


if __name__ == "__main__":
    main()
