import os

# ONNX Runtime reads it when it is imported: else it reports home, and keeps an identity in the home folder.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
