"""Which ONNX is written unless asked otherwise; apart from what writes it, which loads torch."""

OPSET = 20
IR_VERSION = 10
