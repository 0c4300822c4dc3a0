"""What a network answers to the test images is counted as scikit-learn counts it, and a few images are kept."""

from __future__ import annotations

import base64
import io

import numpy as np
import torch
from PIL import Image
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix
from torch import nn

from hwnas.data.load import load_data
from hwnas.evaluation.accuracy import accuracy
from hwnas.evaluation.answers import answers_of
from hwnas.evaluation.interval import wilson
from hwnas.records.evaluation import EvaluationRecord


def test_answers_are_the_confusion_matrix_and_the_surest_mistakes() -> None:
    data = load_data("digits", 8)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 10))
    found = answers_of(network, data)
    shares = network(data.normalize(data.test.pixels(torch.arange(len(data.test.labels))))).softmax(dim=1).detach()
    share, answer = (each.numpy() for each in shares.max(dim=1))
    labels = data.test.labels.numpy()
    expected = confusion_matrix(labels, answer, labels=range(10))
    assert {(label, said): count for label, said, count in found.answers} == {
        (label, said): int(expected[label, said]) for label, said in zip(*np.nonzero(expected), strict=True)
    }
    assert found.right / found.images == accuracy(network, data, data.test)
    wrong = [each for each in found.examples if each.label != each.answer]
    assert len(wrong) == len(found.examples) - len(wrong) == 10
    np.testing.assert_allclose([each.share for each in wrong], np.sort(share[labels != answer])[::-1][:10], rtol=1e-5)
    image = Image.open(io.BytesIO(base64.b64decode(wrong[0].image.partition(",")[2])))
    surest = int(np.flatnonzero(labels != answer)[share[labels != answer].argmax()])
    np.testing.assert_array_equal(np.asarray(image), data.test.pixels(torch.tensor([surest]))[0].permute(1, 2, 0))
    assert EvaluationRecord.of_plain(found.plain(), "here") == found


def test_a_large_image_is_kept_small() -> None:
    data = load_data("digits", 80)
    found = answers_of(nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 10)), data)
    assert all(each.image.startswith("data:image/jpeg") and len(each.image) < 6000 for each in found.examples)


def test_the_interval_is_wilsons() -> None:
    for right, images in ((0, 7), (7, 7), (1, 1), (355, 359), (30_000, 50_000)):
        expected = binomtest(right, images).proportion_ci(0.95, method="wilson")
        np.testing.assert_allclose(wilson(right / images, images), (expected.low, expected.high), atol=1e-7)
