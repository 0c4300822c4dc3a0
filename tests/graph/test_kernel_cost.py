"""Work of kernels: closed forms, einsums held against enumeration, bytes; nothing unknown is zero."""

from __future__ import annotations

import math
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas.graph.kernel import ABSENT, Attribute, Kernel, KernelNode, Value
from hwnas.graph.kernel_cost import UncountedError, madds, main_node, work

Shape = tuple[int, ...]


def kernel(
    op: str,
    inputs: list[Shape | None],
    output: Shape,
    *,
    domain: str = "",
    constant: tuple[int, ...] = (),
    dtype: str = "float32",
    **attributes: Attribute,
) -> Kernel:
    values = [
        Value(dtype=dtype, shape=shape, constant=i in constant)  # type: ignore[arg-type]
        for i, shape in enumerate(inputs)
        if shape is not None
    ]
    places = iter(range(len(values)))
    node = KernelNode(
        op=op,
        domain=domain,
        attributes=tuple(sorted(attributes.items())),
        inputs=tuple(ABSENT if shape is None else next(places) for shape in inputs),
        outputs=(len(values),),
    )
    values.append(Value(dtype=dtype, shape=output))  # type: ignore[arg-type]
    return Kernel(opset=20, nodes=(node,), values=tuple(values), outputs=(len(values) - 1,))


MS, NCHWC, TFLITE = "com.microsoft", "com.microsoft.nchwc", "tflite"


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (kernel("Conv", [(1, 3, 224, 224), (64, 3, 7, 7)], (1, 64, 112, 112)), 118_013_952),
        (kernel("Conv", [(2, 8, 10), (8, 1, 3), (8,)], (2, 8, 8), group=8), 2 * 8 * 8 * 3),
        (kernel("Conv", [(1, 4, 6, 6, 6), (8, 2, 3, 3, 3)], (1, 8, 4, 4, 4), group=2), 8 * 64 * 2 * 27),
        (kernel("ConvTranspose", [(1, 8, 5, 5), (8, 4, 2, 2)], (1, 4, 10, 10)), 8 * 25 * 4 * 4),
        (kernel("Gemm", [(5, 7), (7, 3), (3,)], (5, 3)), 5 * 7 * 3),
        (kernel("Gemm", [(7, 5), (3, 7)], (5, 3), transA=1, transB=1), 5 * 7 * 3),
        (kernel("MatMul", [(2, 4, 5, 6), (6, 7)], (2, 4, 5, 7)), 2 * 4 * 5 * 6 * 7),
        (kernel("MatMul", [(6,), (6, 7)], (7,)), 6 * 7),
        (kernel("MatMul", [(6,), (6,)], ()), 6),
        (kernel("FusedMatMul", [(2, 6, 5), (2, 6, 7)], (2, 5, 7), domain=MS, transA=1), 2 * 5 * 6 * 7),
        (
            kernel("FusedMatMul", [(6, 2, 5), (2, 6, 7)], (2, 5, 7), domain=MS, transA=1, transBatchA=1),
            2 * 5 * 6 * 7,
        ),
        (kernel("QLinearMatMul", [(5, 7), (), (), (7, 3), (), (), (), ()], (5, 3), dtype="uint8"), 5 * 7 * 3),
        (kernel("QLinearConv", [(1, 3, 9, 9), (), (), (4, 3, 2, 2)], (1, 4, 8, 8), dtype="uint8"), 4 * 64 * 12),
        (kernel("ConvInteger", [(1, 3, 9, 9), (4, 3, 2, 2)], (1, 4, 8, 8), dtype="uint8"), 4 * 64 * 12),
        (kernel("Conv", [(1, 16, 8, 8), (16, 16, 1, 1)], (1, 16, 8, 8), domain=NCHWC), 16 * 16 * 64),
        (kernel("CONV_2D", [(1, 9, 9, 8), (4, 3, 3, 2)], (1, 7, 7, 4), domain=TFLITE), 4 * 49 * 9 * 2),
        (kernel("DEPTHWISE_CONV_2D", [(1, 9, 9, 8), (1, 3, 3, 8)], (1, 7, 7, 8), domain=TFLITE), 8 * 49 * 9),
        (kernel("FULLY_CONNECTED", [(2, 9), (4, 9), (4,)], (2, 4), domain=TFLITE), 2 * 4 * 9),
        (kernel("LSTM", [(9, 2, 5), (1, 12, 5), (1, 12, 3)], (9, 1, 2, 3)), 9 * 2 * 12 * (5 + 3)),
        (kernel("GRU", [(9, 2, 5), (2, 9, 5), (2, 9, 3)], (9, 2, 2, 3)), 9 * 2 * 2 * 9 * (5 + 3)),
        (kernel("Attention", [(1, 4, 9, 8), (1, 4, 7, 8), (1, 4, 7, 6)], (1, 4, 9, 6)), 4 * 9 * 7 * (8 + 6)),
        (
            kernel("Attention", [(1, 4, 1, 8), (1, 4, 1, 8), (1, 4, 1, 8), None, (1, 4, 6, 8)], (1, 4, 1, 8)),
            4 * 7 * 16,
        ),
        (kernel("MultiHeadAttention", [(1, 9, 32), (1, 7, 32), (1, 7, 32)], (1, 9, 32), domain=MS), 9 * 7 * 64),
        (
            kernel("Attention", [(2, 9, 32), (32, 96), (96,)], (2, 9, 32), domain=MS, num_heads=4),
            2 * 9 * 32 * 96 + 2 * 9 * 9 * 64,
        ),
        (kernel("Softmax", [(1, 9)], (1, 9)), 0),
        (kernel("MaxPool", [(1, 16, 8, 8)], (1, 16, 4, 4), domain=NCHWC), 0),
    ],
    ids=lambda each: str(each) if isinstance(each, Kernel) else "",
)
def test_closed_forms(asked: Kernel, expected: int) -> None:
    assert madds(asked) == expected


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (kernel("DFT", [(1, 9, 1)], (1, 9, 2)), "no formula is known for DFT$"),
        (kernel("Relu", [(1,)], (1,), domain="org.acme"), "no formula is known for Relu of org.acme"),
        (kernel("Conv", [(1, 3, 9, 9)], (1, 4, 8, 8)), "the shapes around Conv aren't"),
        (kernel("Conv", [(1, 3, 9, 9), (4,)], (1, 4, 8, 8)), "the shapes around Conv aren't"),
        (kernel("Einsum", [(2, 3), (3, 4), (4, 5)], (2, 5), equation="ab,bc,cd->ad"), "three factors"),
        (kernel("Einsum", [(2, 3), (3,)], (2,), equation="abc,b->a"), "the shapes around Einsum aren't"),
    ],
)
def test_what_has_no_formula_is_never_zero(asked: Kernel, says: str) -> None:
    with pytest.raises(UncountedError, match=says):
        madds(asked)


@given(st.data())
def test_an_einsum_multiplies_once_for_each_value_of_its_indices(data: st.DataObject) -> None:
    """Enumeration: with sums over one factor's own index taken first, each product that is added counts one."""
    terms = [data.draw(st.lists(st.sampled_from("abcd"), min_size=1, max_size=4, unique=True)) for _ in range(2)]
    named = sorted(set(terms[0]) | set(terms[1]))
    result = data.draw(st.lists(st.sampled_from(named), max_size=4, unique=True))
    sizes = {index: data.draw(st.integers(1, 3)) for index in named}
    shapes = [tuple(sizes[index] for index in term) for term in terms]
    equation = f"{''.join(terms[0])}, {''.join(terms[1])} -> {''.join(result)}"
    asked = kernel("Einsum", list(shapes), tuple(sizes[i] for i in result), equation=equation)
    lasting = [i for i in named if i in result or all(i in term for term in terms)]
    products = sum(1 for _ in product(*(range(sizes[i]) for i in lasting)))
    summed = any(i not in result for i in lasting)
    assert madds(asked) == (products if summed else 0)


@pytest.mark.parametrize(
    ("equation", "shapes", "output", "expected"),
    [
        ("bij,bjk->bik", [(2, 3, 4), (2, 4, 5)], (2, 3, 5), 2 * 3 * 4 * 5),
        ("...ij,jk->...ik", [(2, 6, 3, 4), (4, 5)], (2, 6, 3, 5), 2 * 6 * 3 * 4 * 5),
        ("ij,jk", [(3, 4), (4, 5)], (3, 5), 3 * 4 * 5),
        ("ii->i", [(3, 3)], (3,), 0),
        ("i,j->ij", [(3,), (4,)], (3, 4), 0),
    ],
)
def test_einsums(equation: str, shapes: list[Shape | None], output: Shape, expected: int) -> None:
    assert madds(kernel("Einsum", shapes, output, equation=equation)) == expected


def test_bytes() -> None:
    conv = kernel("Conv", [(1, 3, 8, 8), (4, 3, 1, 1), (4,)], (1, 4, 8, 8), constant=(1, 2))
    assert work(conv) == (4 * 64 * 3, 4 * (3 * 64 + 12 + 4), 4 * 4 * 64)
    assert work(conv.model_copy(update={"outputs": ()})).bytes_written == 0


def test_a_table_that_is_looked_up_in_is_not_read_whole() -> None:
    looked_up = kernel("Gather", [(30_000, 64), (5,)], (5, 64), constant=(0,))
    assert work(looked_up) == (0, 4 * (5 * 64 + 5), 4 * 5 * 64)


def test_what_nodes_of_a_kernel_hand_on_is_neither_read_nor_written() -> None:
    values = tuple(Value(dtype="float16", shape=shape) for shape in [(2, 3), (3, 4), (2, 4), (2, 4), (2, 4)])
    nodes = (
        KernelNode(op="MatMul", inputs=(0, 1), outputs=(2,)),
        KernelNode(op="Add", inputs=(2, 3), outputs=(4,)),
    )
    fused = Kernel(opset=20, nodes=nodes, values=values, outputs=(4,))
    assert work(fused) == (2 * 3 * 4, 2 * math.fsum((6, 12, 8)), 2 * 8)


def test_the_main_node_has_most_multiply_adds() -> None:
    image, weight = (
        Value(dtype="float32", shape=(1, 8, 4, 4)),
        Value(dtype="float32", shape=(8, 8, 1, 1), constant=True),
    )
    nodes = [
        KernelNode(op="Relu", inputs=(0,), outputs=(1,)),
        KernelNode(op="Unheard", inputs=(1,), outputs=(2,)),
        KernelNode(op="Conv", inputs=(2, 4), outputs=(3,)),
    ]
    values = (image, image, image, image, weight)
    assert main_node(Kernel(opset=20, nodes=tuple(nodes), values=values, outputs=(3,))).op == "Conv"
    assert main_node(Kernel(opset=20, nodes=tuple(nodes[:2]), values=values[:3], outputs=(2,))).op == "Relu"
