"""How good a run's images are: what `minigan evaluate RUN` measures.

Which figures fit follows from what the model can do, not from its name: any generator of digits is
compared with the test set; one that takes labels is asked whether it obeys them; one that finds
categories, whether they are the digits; one that bounds a likelihood, for the bound; one that
translates images, for the target and for the digit that should survive.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from minigan import metrics
from minigan.errors import ConfigError
from minigan.training.files import write_file
from minigan.training.options import optional_flag
from minigan.training.saved_run import open_data, open_run, saved_gan, saved_step, stored_options

_GAN_TRAIN_IMAGES = 20_000
_FLOOR_SEED = 0xF100


@dataclass(frozen=True)
class EvaluateOptions:
    """What to judge, and on how many images."""

    run: tyro.conf.Positional[Path]
    """The run folder."""
    n: Annotated[int, tyro.conf.arg(aliases=("-n",))] = 10_000
    """How many images to judge."""
    seed: int = 0
    """Seed of the latents and of the resamples."""
    data_dir: Annotated[Path | None, optional_flag("DIR", "the run's own")] = None
    """Folder that holds the data."""
    checkpoint: Annotated[Path | None, optional_flag("DIR", "the newest")] = None
    """Checkpoint folder to judge."""
    gan_train: bool = True
    """Also train a classifier on generated images (a minute or two; models with labels)."""
    device: str = "cpu"
    """Where to generate: cpu, cuda or cuda:N."""

    def __post_init__(self) -> None:
        if self.n < 200:
            raise ConfigError(f"n is {self.n}: figures need at least 200 images")


@dataclass(frozen=True)
class Figure:
    """One measured number."""

    value: float
    better: str
    """"lower", "higher", or what the best value is."""
    std: float | None = None
    """Bootstrap standard error."""
    floor: float | None = None
    """What real images reach in the place of generated ones."""


Figures = dict[str, Figure]


def evaluate_run(options: EvaluateOptions) -> dict[str, Any]:
    """Measure a run and write RUN/evaluation.json; returns what is in it. Raises MiniganError."""
    run = open_run(options.run)
    trained = stored_options(run)
    if trained.data.split("-")[0] not in ("mnist", "stacked"):
        raise ConfigError(
            f"{options.run} was trained on {trained.data}: the figures are those of a classifier "
            "of digits, so only runs on MNIST can be judged"
        )
    gan = saved_gan(run, options.checkpoint, options.device)
    if options.data_dir is not None:
        trained = replace(trained, data_dir=options.data_dir)
    test = open_data(trained, gan, train=False)
    figures: Figures = {}
    if gan.takes_pairs:
        figures |= _translation(gan, test, options)
    else:
        train = open_data(trained, gan, train=True)
        figures |= _generation(gan, train, test, options)
    report = {
        "model": run.model,
        "step": saved_step(run, options.checkpoint),
        "images": options.n,
        "seed": options.seed,
        "data": test.source,
        "weights": "average (ema)" if gan.config.ema else "as trained",
        "figures": {name: _plain(figure) for name, figure in figures.items()},
    }
    text = json.dumps(report, indent=2) + "\n"
    write_file(run.path / "evaluation.json", text.encode())
    return report


def as_table(report: dict[str, Any]) -> str:
    """The figures of a report as aligned text."""
    rows = [("", "value", "+-", "real images", "best")]
    for name, figure in report["figures"].items():
        std, floor = (
            "" if figure.get(key) is None else f"{figure[key]:.4g}" for key in ("std", "floor")
        )
        rows.append((name, f"{figure['value']:.4g}", std, floor, figure["better"]))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    facts = ("model", "step", "images", "data", "weights")
    return "\n".join([*(f"{name}: {report[name]}" for name in facts), "", *lines])


def _generation(gan: Any, train: Any, test: Any, options: EvaluateOptions) -> Figures:
    n, seed = options.n, options.seed
    labels = np.arange(n) % 10 if gan.needs_labels else None
    images = gan.sample(n, labels=labels, seed=seed)
    real, real_labels = test[: min(n, len(test))]
    figures: Figures = {}
    if gan.config.channels == 1:
        rows = np.random.default_rng(_FLOOR_SEED).permutation(len(train))[: len(real)]
        figures |= _distances(images, real, real_labels, train[rows][0], seed)
    elif test.name.startswith("stacked"):
        figures |= _stacked(images)
    if labels is not None:
        figures |= _conditional(gan, images, labels, (real, real_labels), options)
    if hasattr(gan, "categories"):
        figures |= _categories(gan, train, (real, real_labels), seed)
    if hasattr(gan, "bound"):
        bounds = gan.bound(real, seed=seed)
        mean, std = metrics.bootstrap(np.mean, bounds, seed=seed)
        figures["negative ELBO of test images (nats)"] = Figure(float(mean), "lower", float(std))
    return figures


def _distances(
    images: np.ndarray, real: np.ndarray, real_labels: np.ndarray, other: np.ndarray, seed: int
) -> Figures:
    """Generated against real images; `other` real ones, as many as `real`, give the floors."""
    generated, reference, floor = (metrics.read(x) for x in (images, real, other))

    def modes(probabilities: np.ndarray, reference_labels: np.ndarray) -> Any:
        counts = np.bincount(reference_labels, minlength=10)
        return np.array(metrics.modes_and_kl(probabilities.argmax(1), counts)[:2], float)

    def score(probabilities: np.ndarray) -> float:
        return metrics.classifier_score(probabilities)

    _, modes_std = metrics.bootstrap(modes, generated.probabilities, real_labels, seed=seed)
    covered = modes(generated.probabilities, real_labels)
    _, score_std = metrics.bootstrap(score, generated.probabilities, seed=seed)
    figures = {
        "digits covered": Figure(covered[0], "10", float(modes_std[0])),
        "KL(generated || data) of digits": Figure(covered[1], "lower", float(modes_std[1])),
        "classifier score": Figure(
            score(generated.probabilities), "higher", float(score_std), score(floor.probabilities)
        ),
    }
    return figures | _feature_distances(
        reference.features, generated.features, floor.features, seed
    )


def _feature_distances(
    reference: np.ndarray, generated: np.ndarray, floor: np.ndarray, seed: int
) -> Figures:
    def measured(metric: Callable[[np.ndarray, np.ndarray], Any], resample: Any) -> list[Any]:
        """Value, standard error and floor, each of one number or of several."""
        _, std = resample(metric, reference, generated, seed=seed, n=5)
        values = (metric(reference, generated), std, metric(reference, floor))
        return [np.atleast_1d(np.asarray(v, float)) for v in values]

    def kid(a: np.ndarray, b: np.ndarray) -> Any:
        return metrics.kernel_distance(a, b, seed=seed, subsets=20)[0]

    # The two-sample test and the radii of precision and recall compare sets of equal size.
    size = min(len(reference), len(generated), len(floor))

    def two_samples(a: np.ndarray, b: np.ndarray) -> Any:
        half = min(len(a), len(b))
        return metrics.two_sample_accuracy(a[:half], b[:half])[0]

    frechet = measured(metrics.frechet_distance, metrics.bootstrap)
    kernel = measured(kid, metrics.half_samples)
    reference, generated, floor = (x[:size] for x in (reference, generated, floor))
    neighbours = measured(metrics.precision_recall, metrics.half_samples)
    nearest = measured(two_samples, metrics.half_samples)
    return {
        "Frechet distance (MNIST-CNN)": _figure(frechet, 0, "lower"),
        "KID (MNIST-CNN)": _figure(kernel, 0, "lower"),
        "precision": _figure(neighbours, 0, "higher"),
        "recall": _figure(neighbours, 1, "higher"),
        "1-NN two-sample accuracy": _figure(nearest, 0, "0.5"),
    }


def _conditional(
    gan: Any,
    images: np.ndarray,
    labels: np.ndarray,
    test: tuple[np.ndarray, np.ndarray],
    options: EvaluateOptions,
) -> Figures:
    obeyed = (metrics.classify(images) == labels).astype(float)
    _, std = metrics.bootstrap(np.mean, obeyed, seed=options.seed)
    real_accuracy = metrics.accuracy(*test)
    figures = {
        "GAN-test (asked digit is read)": Figure(
            float(obeyed.mean()), "higher", float(std), real_accuracy
        ),
        "1-NN error on test digits": Figure(
            metrics.nearest_neighbour_error(images, labels, *test), "lower"
        ),
    }
    if options.gan_train:
        more = np.arange(_GAN_TRAIN_IMAGES) % 10
        taught = gan.sample(len(more), labels=more, seed=options.seed + 1)
        value = metrics.gan_train_accuracy(taught, more, *test, seed=options.seed)
        figures["GAN-train (trained on generated)"] = Figure(value, "higher")
    return figures


def _categories(gan: Any, train: Any, test: tuple[np.ndarray, np.ndarray], seed: int) -> Figures:
    """Whether the categories that a model found without labels are the digits."""
    images, labels = train[: min(len(train), 10_000)]
    codes, test_codes = gan.categories(images), gan.categories(test[0])
    figures = {}
    for name, error in (
        ("majority", metrics.majority_error),
        ("one-to-one", metrics.hungarian_error),
    ):
        _, std = metrics.bootstrap(error, (codes, labels), (test_codes, test[1]), seed=seed)
        value = error(codes, labels, test_codes, test[1])
        figures[f"unsupervised error ({name})"] = Figure(value, "lower", float(std))
    return figures


def _stacked(images: np.ndarray) -> Figures:
    covered = metrics.modes_and_kl(metrics.classify_stacked(images), None, 1000)
    return {
        "modes covered": Figure(float(covered[0]), "1000"),
        "KL(generated || uniform) of modes": Figure(float(covered[1]), "lower"),
    }


def _translation(gan: Any, test: Any, options: EvaluateOptions) -> Figures:
    rows = np.arange(min(options.n, len(test)))
    a, b = test.batch(rows)
    labels = test.labels(rows)
    made = gan.translate(a, seed=options.seed)
    figures = {
        "L1 to the target (pixels in 0..1)": Figure(metrics.mean_l1(made, b), "lower"),
        "SSIM to the target": Figure(metrics.ssim(made, b), "higher"),
        **_kept("A to B", made, b, labels, test, "b"),
    }
    if "generator_b" in gan.networks:
        back = gan.translate(b, direction="BtoA", seed=options.seed)
        figures |= _kept("B to A", back, a, labels, test, "a")
        cycles = (
            ("A to B to A", gan.translate(made, direction="BtoA", seed=options.seed), a),
            ("B to A to B", gan.translate(back, direction="AtoB", seed=options.seed), b),
        )
        for name, cycled, start in cycles:
            figures[f"cycle L1, {name}"] = Figure(metrics.mean_l1(cycled, start), "lower")
    return figures


def _kept(
    direction: str, made: np.ndarray, target: np.ndarray, labels: np.ndarray, test: Any, domain: str
) -> Figures:
    """Whether the digit survives the translation into a domain, colours and negatives undone."""
    value = metrics.accuracy(test.as_digits(made, domain), labels)
    floor = metrics.accuracy(test.as_digits(target, domain), labels)
    return {f"digit kept, {direction}": Figure(value, "higher", None, floor)}


def _figure(measured: list[Any], index: int, better: str) -> Figure:
    value, std, floor = (float(part[index]) for part in measured)
    return Figure(value, better, std, floor)


def _plain(figure: Figure) -> dict[str, Any]:
    return {name: value for name, value in asdict(figure).items() if value is not None}
