"""Effect of short sentences beside the report on locating phrases, with both encoders frozen.

    python -m bench.accuracy.short_sentences --data ../shared/data

    images, texts --frozen encoders, once--> maps, features
                  --projections and pool, trained by the losses of pre-training--> cosine maps
                  --peak in the box of the finding, or in the lung?--> share, paired by region

The configuration is that of `grounding_pretrain`. Frozen encoders make hundreds of steps cheap, so
that several seeds fit a few minutes of a processor; what sentences change within the encoders is
not seen. Each arm has the same initial weights, rows, reports and number of steps. Reports are
drawn once for each row. Phrases are located on radiographs of other patients: the validation and
test rows of `nih_boxes`, and all rows of `wingspan_ctr`, which no step sees.
"""

import argparse
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from training.config.files import load
from training.config.pretrain import PretrainConfig, SentenceConfig
from training.config.run import DataConfig
from training.data.annotations.mask_planes import place_of
from training.data.annotations.masks import LUNGS
from training.data.batches.statements import Facts, draw, facts_of, truth_table
from training.data.cache.cache import Cache, open_cache
from training.data.text.synthetic_reports import report, text_ids
from training.engine.seeding import seed_everything
from training.evaluation.phrases.regions import ORGANS, TARGETS
from training.losses.contrastive import contrastive_loss
from training.losses.statements import statement_loss
from training.metrics import bootstrap, contrast_to_noise, points_inside
from training.metrics.bootstrap import weighted_mean
from training.model.g2d import G2D, similarity_map
from training.model.image_encoder import encode, normalise
from training.model.text_encoder import build_tokenizer, tokenize

ARMS = {
    "reports alone": SentenceConfig(),
    "with presence": SentenceConfig(presence=True),
    "with presence and place": SentenceConfig(presence=True, location=True),
}
LUNG_SET = "wingspan_ctr"
BATCH = 64
LR = 1e-3
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Rows:
    """Radiographs with what the frozen image encoder says of them.

    Attributes:
        maps: N x C x h x w, deepest maps.
        facts: everything known of each.
    """

    maps: Tensor
    facts: list[Facts]


@dataclass(frozen=True)
class Asked:
    """A phrase whose region in a radiograph is known.

    Attributes:
        image: position among the radiographs of the measurement.
        phrase: the phrase.
        region: S x S, True inside.
        patient: patient of the radiograph.
    """

    image: int
    phrase: str
    region: Bools
    patient: str


class Texts:
    """Features of texts by the frozen text encoder, each computed once."""

    def __init__(self, g2d: G2D, config: PretrainConfig) -> None:
        """Keep the encoder and its tokenizer."""
        self._encoder, self._longest = g2d.lm_model, config.model.text.max_tokens
        self._tokenizer = build_tokenizer(config.model.text)
        self._known: dict[str, Tensor] = {}

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Return the features, P x D."""
        new = sorted(set(texts) - self._known.keys(), key=len)
        for start in range(0, len(new), BATCH):
            chunk = new[start : start + BATCH]
            tokens = tokenize(self._tokenizer, chunk, self._longest)
            self._known |= zip(
                chunk, self._encoder(tokens.input_ids, tokens.attention_mask), strict=True
            )
        return torch.stack([self._known[text] for text in texts])


@torch.no_grad()
def encoded(g2d: G2D, cache: Cache, rows: Sequence[int], config: PretrainConfig) -> Rows:
    """Run the frozen image encoder over rows of a cache."""
    maps = []
    for start in range(0, len(rows), BATCH):
        pixels = np.stack([cache.images[i] for i in rows[start : start + BATCH]])
        images = torch.from_numpy(pixels).unsqueeze(1).float() / 255
        maps.append(encode(g2d.img_model, normalise(images, config.preprocess))[-1])
    return Rows(torch.cat(maps), [facts_of(cache, i) for i in rows])


def regions(cache: Cache, rows: Sequence[int]) -> list[Asked]:
    """Return every phrase whose region is known: findings by their boxes, lungs by their masks."""
    found = []
    for n, i in enumerate(rows):
        sample, planes, side = cache.samples[i], cache.masks[i], cache.images[i].shape[0]
        for phrase, names in TARGETS.items():
            region = np.zeros((side, side), dtype=bool)
            if phrase not in ORGANS:
                for x0, y0, x1, y1 in (box for name, box in sample.boxes if name in names):
                    region[round(y0) : round(y1), round(x0) : round(x1)] = True
            elif names[0] in LUNGS and names[0] in sample.known:
                plane, bit = place_of(names[0], cache.structures)
                region = (planes[plane] & np.uint8(bit)) != 0
            if region.any():
                found.append(Asked(n, phrase, region, sample.row.patient_id))
    return found


def train(
    g2d: G2D, rows: Rows, reports: Sequence[tuple[str, Tensor]], texts: Texts,
    config: PretrainConfig, sentences: SentenceConfig, steps: int, seed: int,
) -> None:  # fmt: skip
    """Train pool and projections by the losses of a pre-training.

    Args:
        g2d: model with frozen encoders.
        rows: training rows.
        reports: text and identifier of the report of each row.
        texts: features of texts.
        config: pre-training.
        sentences: short sentences beside the reports.
        steps: number of steps.
        seed: seed of order and sentences.
    """
    parts = (g2d.proj_v, g2d.proj_t, g2d.attnpool)
    weights = [weight for part in parts for weight in part.parameters()]
    optimiser = torch.optim.AdamW(weights, lr=LR, weight_decay=config.optimiser.weight_decay)
    rng, order = random.Random(seed), np.random.default_rng(seed)  # noqa: S311 - repeatable, not secret
    for _ in range(steps):
        drawn = order.choice(len(rows.facts), BATCH, replace=False)
        pooled = g2d.attnpool(g2d.proj_v(rows.maps[torch.from_numpy(drawn)])).embedding
        facts = [rows.facts[i] for i in drawn]
        said = draw(facts, sentences, rng) if sentences.wanted else []
        read = [*(reports[i][0] for i in drawn), *(statement.text for statement in said)]
        text = g2d.project_text(texts(read))
        ids = torch.stack([reports[i][1] for i in drawn])
        loss = contrastive_loss(pooled, text[:BATCH], temperature=config.temperature, text_ids=ids)
        if said:
            truth = torch.from_numpy(truth_table(facts, said))
            loss = loss + sentences.weight * statement_loss(
                pooled, text[BATCH:], truth, temperature=config.temperature
            )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


@torch.no_grad()
def located(g2d: G2D, maps: Tensor, asked: Sequence[Asked], texts: Texts) -> NDArray[np.float64]:
    """Return for each phrase if the peak is in its region, and the contrast-to-noise, N x 2."""
    g2d.eval()
    phrases = sorted({each.phrase for each in asked})
    cosines = similarity_map(g2d.proj_v(maps), g2d.project_text(texts(phrases)))
    found = []
    for each in asked:
        size = each.region.shape
        cells = cosines[each.image, phrases.index(each.phrase)][None, None]
        heat = F.interpolate(cells, size, mode="bilinear")[0, 0].double().numpy()
        cnr = contrast_to_noise(heat, each.region)
        found.append((float(points_inside(heat, each.region)), cnr))
    return np.array(found)


def line(name: str, arms: dict[str, NDArray[np.float64]], asked: Sequence[Asked]) -> list[str]:
    """Return a line for each arm: means with intervals, and differences from the first.

    The share of the image that a region takes up is the chance of a peak at random.

    Args:
        name: title of the set.
        arms: arm -> N x 2 figures, means over the seeds.
        asked: the N phrases; their patients are resampled.
    """
    patients, lines = [each.patient for each in asked], []
    chance = 100 * float(np.mean([each.region.mean() for each in asked]))
    first = next(iter(arms.values()))
    for arm, figures in arms.items():
        cells = []
        for values, less in ((f, f - g) for f, g in zip(figures.T, first.T, strict=True)):
            for shown, sign in ((values, ""), (less, "+")):
                kept = bootstrap(partial(weighted_mean, shown), patients)
                cells.append(
                    f"{100 * kept.value:{sign}.1f} ({100 * kept.low:.1f} to {100 * kept.high:.1f})"
                )
        if figures is first:
            cells[1] = cells[3] = "/"
        lines.append(f"| {name} | {len(asked)} | {chance:.1f} | {arm} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Measure and print a Markdown table."""
    options = _options()
    torch.set_num_threads(options.threads)
    config = load(
        "grounding_pretrain",
        PretrainConfig,
        [f"preprocess.size_px={options.size}", f"data.root={options.data}"],
    )
    data, spec = config.data, config.preprocess
    cache = open_cache(data, spec, options.cache)
    lungs = open_cache(DataConfig(root=data.root, tables=(LUNG_SET,)), spec, options.cache)
    g2d = G2D(config.model, options.size).eval().requires_grad_(requires_grad=False)
    texts = Texts(g2d, config)
    drawn = {
        i: report(cache.samples[i].row, random.Random(i))  # noqa: S311 - repeatable, not secret
        for i in cache.where("train")
    }
    with_text = {i: found for i, found in drawn.items() if found}
    rows = encoded(g2d, cache, list(with_text), config)
    reports = list(
        zip([r.text for r in with_text.values()], text_ids(list(with_text.values())), strict=True)
    )
    boxed = [i for i in (*cache.where("valid"), *cache.where("test")) if cache.samples[i].boxes]
    boxed = [i for i in boxed if cache.samples[i].row.table == "nih_boxes"]
    sets = {
        "findings": (encoded(g2d, cache, boxed, config).maps, regions(cache, boxed)),
        "lungs": (
            encoded(g2d, lungs, range(len(lungs.samples)), config).maps,
            regions(lungs, range(len(lungs.samples))),
        ),
    }
    found: dict[str, dict[str, list[NDArray[np.float64]]]] = {name: {} for name in sets}
    for seed in range(options.seeds):
        for arm, sentences in ARMS.items():
            seed_everything(seed)
            fresh = G2D(config.model, options.size)
            for part in ("proj_v", "proj_t", "attnpool"):
                setattr(g2d, part, getattr(fresh, part))
                getattr(g2d, part).train()
            train(g2d, rows, reports, texts, config, sentences, options.steps, seed)
            for name, (maps, asked) in sets.items():
                found[name].setdefault(arm, []).append(located(g2d, maps, asked, texts))
    print(
        "| phrases | regions | chance | arm | pointing | difference | contrast-to-noise x 100 |"
        " difference |\n| --- | --- | --- | --- | --- | --- | --- | --- |"
    )
    for name, arms in found.items():
        means = {arm: np.mean(each, axis=0) for arm, each in arms.items()}
        print("\n".join(line(name, means, sets[name][1])), flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="Folder of the data sets.")
    parser.add_argument("--cache", type=Path, default=Path("cache"), help="Folder of the cache.")
    parser.add_argument("--size", type=int, default=224, help="Side of the images in pixels.")
    parser.add_argument("--steps", type=int, default=400, help="Steps of each training.")
    parser.add_argument("--seeds", type=int, default=5, help="Number of seeds.")
    parser.add_argument("--threads", type=int, default=1, help="Threads of PyTorch.")
    return parser.parse_args()


if __name__ == "__main__":
    main()
