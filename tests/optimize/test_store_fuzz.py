"""Whatever becomes of a store's bytes, it answers with finite numbers or in one line."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest

from hwnas.errors import InputError
from hwnas.optimize.store import Store
from hwnas.workers.base import Done
from tests.fuzzing import EXAMPLES
from tests.optimize.problems import ALL_MACRO, MACRO


@pytest.mark.fuzz
def test_any_bytes_give_numbers_or_a_typed_error(tmp_path: Path) -> None:
    rng, path = random.Random(0), tmp_path / "s.db"
    with Store(path, MACRO, "a") as store:
        search = store.begin("random", 1, "{}", {})
        for arch in ALL_MACRO[:20]:
            search.keep(arch, "accuracy", Done(0, 0.5, 0.25, "a host"), {})
    whole, refused = path.read_bytes(), []
    for _ in range(EXAMPLES // 2):
        content = bytearray(whole)
        for _ in range(rng.randrange(1, 30)):
            content[rng.randrange(len(content))] = rng.choice([0, 255, rng.randrange(256)])
        path.write_bytes(content)
        try:
            with Store(path, MACRO, "a") as store:
                search = store.begin("random", 1, "{}", {}, resume=True)
                for arch in ALL_MACRO[:20]:
                    known = search.known(arch, "accuracy")
                    assert known is None or isinstance(known, str) or math.isfinite(known)
                search.keep(ALL_MACRO[50], "accuracy", Done(0, 0.25, 0.25, "a host"), {})
                search.check_course(0, "x")
        except InputError as error:
            refused.append(str(error))
    assert len(refused) > EXAMPLES / 8
    assert not [message for message in refused if "\n" in message]
