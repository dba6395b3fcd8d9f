"""Fine-tuning MiniLM on SST-2: sentences a second, beside transformers and KerasHub, dropout and all."""

from tests.bench.contenders import kerashub, ours, pytorch
from tests.bench.measures import examples
from tests.bench.report import Measure
from tests.bench.turns import best
from trainer.runs.blueprint import Blueprint
from trainer.weights import hub

BATCH, BATCHES, LENGTH, LABELS = 32, 16, 128, ["negative", "positive"]


def measure(options):
    folder, classes = hub.folder_of("minilm"), len(LABELS)
    data = examples.read(folder, "sentiment", "sst2", LENGTH, labels=LABELS)
    plans = examples.plans(data, BATCH, BATCHES)
    planned, random = (examples.batches_of(data, plans[name]) for name in ("planned", "random"))
    ready = {module: module.finetuning(folder, "sentiment", classes) for module in (ours, pytorch, kerashub)}
    contenders = {
        "ours, planned batches": ready[ours](planned),
        "ours, random batches": ready[ours](random),
        "transformers": ready[pytorch](random),
        "KerasHub": ready[kerashub](random),
    }
    lengths = [length for plan in plans["random"] for length in data.lengths[plan]]
    config = Blueprint.of_weights(folder).config
    rates = {name: len(lengths) / seconds for name, seconds in best(contenders, options.rounds).items()}
    return [
        Measure(
            "sst2",
            rates,
            "sentences/s",
            flops=examples.flops(config, lengths, training=True, pooled=True) / len(lengths),
            targets=[("ours, planned batches", "transformers", 2.0)],
            notes=[
                f"batches of {BATCH}; padding: planned {examples.padding(planned):.0%}, random {examples.padding(random):.0%}"
            ],
        )
    ]
