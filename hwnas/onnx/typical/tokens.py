"""Blocks with attention, each as its family has it; tokens are (1, N, C)."""

from __future__ import annotations

from hwnas.onnx.typical.sketch import Sketch, Tensor


def patches(s: Sketch, x: Tensor, width: int, size: int) -> Tensor:
    """Tokens of an image cut into squares."""
    return tokens_of(s, s.conv(x, width, size, size, padded=False))


def tokens_of(s: Sketch, x: Tensor) -> Tensor:
    """Of each place of an image one."""
    flat = s.reshape(x, (1, x.channels, x.pixels * x.pixels))
    return s.transpose(flat, (0, 2, 1))


def image_of(s: Sketch, x: Tensor) -> Tensor:
    """The image that tokens are the places of."""
    pixels = round(x.shape[1] ** 0.5)
    return s.reshape(s.transpose(x, (0, 2, 1)), (1, x.shape[2], pixels, pixels))


def positioned(s: Sketch, x: Tensor, class_token: bool) -> Tensor:
    """With where each is, and one more in front that stands for the whole."""
    if class_token:
        x = s.concat([s.weight(1, 1, x.shape[2]), x])
    return s.add(x, s.weight(*x.shape))


def attention(
    s: Sketch,
    x: Tensor,
    heads: int,
    *,
    keys_of: Tensor | None = None,
    together: bool = False,
    biased: bool = False,
    plain: bool = False,
) -> Tensor:
    """Multi-head attention (Vaswani 2017) over the tokens of each of B windows: (B, N, C).

    Args:
        s: what it is drawn into.
        x: tokens, or windows of them.
        heads: of attention.
        keys_of: what is looked at, if not x itself.
        together: queries, keys and values come from one linear layer, and are parted.
        biased: by where the one is seen from the other, as in Swin.
        plain: the linear layers in front have no biases.
    """
    batch, count, width = x.shape
    size = width // heads
    if together:
        parted = s.reshape(s.linear(x, 3 * width, bias=not plain), (batch, count, 3, heads, size))
        parted = s.transpose(parted, (2, 0, 3, 1, 4))
        queries, keys, values = (s.first(s.part(parted, 0, place, place + 1), 0) for place in range(3))
        keys = s.transpose(keys, (0, 1, 3, 2))
    else:
        looked_at = keys_of or x
        queries, keys, values = (
            s.transpose(s.reshape(s.linear(of, width, bias=not plain), (batch, of.shape[1], heads, size)), order)
            for of, order in ((x, (0, 2, 1, 3)), (looked_at, (0, 2, 3, 1)), (looked_at, (0, 2, 1, 3)))
        )
    if together:
        scores = s.matmul(s.mul(queries, s.number(size**-0.5)), keys)
    else:
        product = s.matmul(queries, keys)
        scores = s.node("Div", (product, s.number(size**0.5)), product.shape)
    if biased:
        scores = s.add(scores, s.weight(1, heads, count, count))
    seen = s.transpose(s.matmul(s.softmax(scores), values), (0, 2, 1, 3))
    return s.linear(s.reshape(seen, x.shape), width)


def mlp(s: Sketch, x: Tensor, ratio: float, act: str = "gelu") -> Tensor:
    return s.linear(s.linear(x, round(x.shape[-1] * ratio), act), x.shape[-1])


def transformer(
    s: Sketch,
    x: Tensor,
    heads: int,
    ratio: float,
    *,
    together: bool = False,
    plain: bool = False,
    scaled: bool = False,
    act: str = "gelu",
) -> Tensor:
    """The encoder's layer as ViT has it (Dosovitskiy 2020); ``scaled`` adds DeiT III's and BEiT's factors."""

    def after(inner: Tensor) -> Tensor:
        return s.mul(inner, s.weight(x.shape[-1])) if scaled else inner

    x = s.add(after(attention(s, s.layer_norm(x), heads, together=together, plain=plain)), x)
    return s.add(after(mlp(s, s.layer_norm(x), ratio, act)), x)


def post_normed(s: Sketch, x: Tensor, heads: int, ratio: float) -> Tensor:
    """The layer as BERT has it, normalised behind each sum."""
    x = s.layer_norm(s.add(attention(s, x, heads), x))
    return s.layer_norm(s.add(mlp(s, x, ratio), x))


def windowed(s: Sketch, x: Tensor, heads: int, window: int, shifted: bool) -> Tensor:
    """Swin's layer (Liu 2021): attention within windows, every other time moved by half of one."""
    _, count, width = x.shape
    pixels = round(count**0.5)
    image = s.reshape(s.layer_norm(x), (1, pixels, pixels, width))
    image = _rolled(s, image, window // 2) if shifted else image
    across = pixels // window
    parted = s.reshape(image, (1, across, window, across, window, width))
    windows = s.reshape(s.transpose(parted, (0, 1, 3, 2, 4, 5)), (across**2, window**2, width))
    seen = s.reshape(attention(s, windows, heads, biased=True), (1, across, across, window, window, width))
    image = s.reshape(s.transpose(seen, (0, 1, 3, 2, 4, 5)), (1, pixels, pixels, width))
    image = _rolled(s, image, pixels - window // 2) if shifted else image
    x = s.add(x, s.reshape(image, x.shape))
    return s.add(x, mlp(s, s.layer_norm(x), 4))


def _rolled(s: Sketch, x: Tensor, by: int) -> Tensor:
    for axis in (1, 2):
        x = s.concat([s.part(x, axis, by, x.shape[axis]), s.part(x, axis, 0, by)], axis)
    return x


def merged(s: Sketch, x: Tensor) -> Tensor:
    """Of each 2x2 places one token, twice as wide."""
    _, count, width = x.shape
    pixels = round(count**0.5)
    image = s.reshape(x, (1, pixels, pixels, width))
    corners = [
        s.part(s.part(image, 1, row, pixels, 2), 2, column, pixels, 2) for column in range(2) for row in range(2)
    ]
    joined = s.reshape(s.concat(corners, 3), (1, count // 4, 4 * width))
    return s.linear(s.layer_norm(joined), 2 * width)


def reduced(s: Sketch, x: Tensor, heads: int, ratio: float, factor: int) -> Tensor:
    """PVT's and SegFormer's layer (Wang, Xie 2021): keys of a smaller image; between the MLP's layers a depthwise."""
    normed = s.layer_norm(x)
    keys_of = normed
    if factor > 1:
        small = s.conv(image_of(s, normed), x.shape[2], factor, factor, padded=False)
        keys_of = s.layer_norm(tokens_of(s, small))
    x = s.add(x, attention(s, normed, heads, keys_of=keys_of))
    inner = s.linear(s.layer_norm(x), round(x.shape[-1] * ratio))
    inner = s.act(tokens_of(s, s.depthwise(image_of(s, inner))), "gelu")
    return s.add(x, s.linear(inner, x.shape[-1]))


def unfolded(s: Sketch, x: Tensor, width: int, heads: int) -> Tensor:
    """MobileViT's block (Mehta 2021): places that lie alike in their 2x2 look at each other."""
    inner = s.conv(s.conv(x, x.channels, 3, act="swish"), width)
    half = x.pixels // 2
    parted = s.transpose(s.reshape(inner, (width * half, 2, half, 2)), (0, 2, 1, 3))
    tokens = s.transpose(s.reshape(parted, (1, width, half * half, 4)), (0, 3, 2, 1))
    tokens = s.reshape(tokens, (4, half * half, width))
    for _ in range(2):
        tokens = transformer(s, tokens, heads, 2, act="swish")
    back = s.transpose(s.reshape(s.layer_norm(tokens), (1, 4, half * half, width)), (0, 3, 2, 1))
    back = s.transpose(s.reshape(back, (width * half, half, 2, 2)), (0, 2, 1, 3))
    image = s.conv(s.reshape(back, (1, width, x.pixels, x.pixels)), x.channels, act="swish")
    return s.conv(s.concat([x, image]), x.channels, 3, act="swish")
