"""The machine that trains: its devices, and how fast it multiplies matrices."""

import time

import keras
import tensorflow as tf

SIZE, PRODUCTS, TRIES = 1024, 4, 4


def ceiling() -> float:
    """Returns the floating-point operations a second of the fastest of a few products of 1024 x 1024 float32 matrices."""
    x = tf.random.stateless_normal([SIZE, SIZE], [0, 0]) / SIZE**0.5
    seconds = []
    for _ in range(TRIES):
        begun = time.perf_counter()
        product = x
        for _ in range(PRODUCTS):
            product = tf.linalg.matmul(product, x)
        product.numpy()
        seconds.append(time.perf_counter() - begun)
    return 2 * SIZE**3 * PRODUCTS / min(seconds)


def device() -> str:
    """Returns the names of the GPUs; without one, the versions of TensorFlow and Keras that run on the CPU."""
    gpus = tf.config.list_physical_devices("GPU")
    return ", ".join(gpu.name for gpu in gpus) or f"CPU, TensorFlow {tf.__version__}, Keras {keras.__version__}"
