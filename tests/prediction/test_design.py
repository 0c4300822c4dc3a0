"""The networks of a calibration: valid, different, reproducible, and better than random ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwnas.arrays import Archs
from hwnas.errors import ConfigError
from hwnas.prediction.calibrate import count_classes
from hwnas.prediction.costs import madds
from hwnas.prediction.design import calibration_networks
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import SPACES, get_space


@pytest.mark.parametrize("name", SPACES.names())
def test_they_are_different_archs_of_the_space(name: str) -> None:
    space = get_space(name)
    chosen = calibration_networks(space, 20, seed=0)
    assert chosen.shape == (20, space.num_layers)
    assert len(np.unique(space.check(chosen), axis=0)) == 20
    assert (chosen == calibration_networks(space, 20, seed=0)).all()
    assert (chosen != calibration_networks(space, 20, seed=1)).any()


def test_a_space_with_fewer_archs_gives_them_all(tmp_path: Path) -> None:
    """Three layers of two choices."""
    path = tmp_path / "space.yaml"
    path.write_text(
        "{name: small, resolution: 32, classes: 10, act: relu, kernels: [3], expansions: [3, 6], se: [false], "
        "skip: false, stem: {width: 8, c_out: 8}, stages: [{c_out: 16, layers: 3, stride: 2}], "
        "head: {width: 32, act: relu}}"
    )
    space = get_space(str(path))
    assert len(calibration_networks(space, 20, seed=0)) == space.size == 8


def _terms(space: ChainSpace, archs: Archs) -> np.ndarray:
    counts = [count for name, count in count_classes(space, archs).items() if name in ("op", "mbconv se")]
    return np.stack([madds(space)(archs) / 1e6, np.ones(len(archs)), *counts], axis=1)


def _average_variance(space: ChainSpace, archs: Archs) -> float:
    """Of calibrated predictions of random networks, relative, for noise of 1: by refitting on simulated data."""
    rng = np.random.default_rng(5)
    rows, test = (_terms(space, a) for a in (archs, space.sample(300, 9)))
    truth = np.array([1.0, 30.0, 2.0, 3.0])[: rows.shape[1]]
    errors = []
    for _ in range(200):
        measured = rows @ truth * (1 + 0.02 * rng.standard_normal(len(rows)))
        fitted = np.linalg.lstsq(rows / measured[:, None], np.ones(len(rows)), rcond=None)[0]
        errors.append(((test @ fitted) / (test @ truth) - 1) ** 2)
    return float(np.mean(errors))


@pytest.mark.parametrize("name", ["scarlet-s2", "macro"])
def test_they_pin_a_calibration_down_better_than_random_networks(name: str) -> None:
    space = get_space(name)
    designed = _average_variance(space, calibration_networks(space, 20, seed=0))
    by_chance = [_average_variance(space, space.sample(20, seed)) for seed in range(10)]
    assert designed < min(by_chance)


def test_fewer_than_a_calibration_needs() -> None:
    with pytest.raises(ConfigError, match="3 networks"):
        calibration_networks(get_space("macro"), 2, seed=0)
