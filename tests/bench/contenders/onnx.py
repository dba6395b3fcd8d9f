"""ONNX Runtime: a BERT of transformers, exported by PyTorch and fused by ONNX Runtime's optimizer."""

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers.optimizer import optimize_model

from tests.bench.contenders import pytorch


class LastState(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, token_type_ids, attention_mask):
        return self.model(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids).last_hidden_state


def encoder(model, folder, threads):
    """Returns inputs -> last states; leaves the model in `fused.onnx`."""
    padded = dict.fromkeys(pytorch.NAMES, np.tri(2, 8, 5, dtype=np.int32))  # without padding, the mask is traced away
    inputs = pytorch.tensors(padded)
    names = list(inputs)
    axes = {name: {0: "batch", 1: "length"} for name in [*names, "output"]}
    plain, fused = str(folder / "plain.onnx"), str(folder / "fused.onnx")
    implementation = model.config._attn_implementation
    model.set_attn_implementation("eager")  # the one that the optimizer can fuse
    with torch.inference_mode():
        torch.onnx.export(
            LastState(model).eval(), tuple(inputs.values()), plain, input_names=names, output_names=["output"], dynamic_axes=axes, dynamo=False
        )  # fmt: skip
    model.set_attn_implementation(implementation)
    config = model.config
    optimized = optimize_model(
        plain, model_type="bert", num_heads=config.num_attention_heads, hidden_size=config.hidden_size
    )
    optimized.save_model_to_file(fused)
    return _session(fused, threads)


def quantized(folder, threads):
    """Returns the same with weights in int8, and activations quantized as they come, of the `fused.onnx` in a folder."""
    types = {"DefaultTensorType": onnx.TensorProto.FLOAT}  # fused operations do not tell theirs
    fused, path = folder / "fused.onnx", folder / "int8.onnx"
    quantize_dynamic(fused, path, weight_type=QuantType.QInt8, extra_options=types)
    return _session(path, threads)


def _session(path, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    used = {argument.name for argument in session.get_inputs()}

    def run(inputs):
        feed = {name: value.numpy() for name, value in pytorch.tensors(inputs).items() if name in used}
        return session.run(None, feed)[0]

    return run
