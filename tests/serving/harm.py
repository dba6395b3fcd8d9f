"""Hand-made malicious requests, for the tests beside this file and for tests/bench/abuse.py."""

from serving.messages import PREDICT, PredictRequest, TensorProto

STRING, FLOAT, BOOL = 7, 1, 10


def tensor(dtype, shape, **values):
    """Returns a `TensorProto` with those fields, consistent or not."""
    proto = TensorProto(dtype=dtype)
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    for name, value in values.items():
        getattr(proto, name).extend(value) if isinstance(value, list) else setattr(proto, name, value)
    return proto


def request(model, inputs, signature=""):
    """Returns the bytes of a `PredictRequest`."""
    message = PredictRequest()
    message.model_spec.name, message.model_spec.signature_name = model, signature
    for name, proto in inputs.items():
        message.inputs[name].CopyFrom(proto)
    return message.SerializeToString()


def texts(*values):
    return tensor(STRING, [len(values)], string_val=list(values))


def method(channel):
    """Returns Predict over a channel, from and to serialized messages."""
    return channel.unary_unary(PREDICT)


def save_odd_model(folder):
    """Writes a SavedModel whose signatures quote their input, and accept and return any shape, unlike exported ones."""
    import tensorflow as tf

    any_shape = [tf.TensorSpec(None, tf.string, name="text")]
    vector = [tf.TensorSpec([None], tf.string, name="text")]

    class Odd(tf.Module):
        @tf.function(input_signature=vector)
        def number(self, text):
            return {"y": tf.strings.to_number(text)}

        @tf.function(input_signature=vector)
        def parse(self, text):
            return {"y": tf.io.parse_example(text, {"a": tf.io.FixedLenFeature([], tf.float32, 0.0)})["a"]}

        @tf.function(input_signature=vector)
        def claim(self, text):
            with tf.control_dependencies([tf.debugging.Assert(tf.size(text) == 0, [text])]):
                return {"y": tf.identity(text)}

        @tf.function(input_signature=any_shape)
        def same(self, text):
            return {"y": tf.identity(text)}

        @tf.function(input_signature=[*any_shape, tf.TensorSpec([None], tf.int32, name="shape")])
        def shaped(self, text, shape):
            return {"y": tf.reshape(text, shape)}

        @tf.function(input_signature=[tf.TensorSpec(None, tf.bool, name="x")])
        def negate(self, x):
            return {"y": tf.logical_not(x), "x": tf.identity(x)}

        @tf.function(input_signature=[tf.TensorSpec(None, tf.float32, name="x")])
        def total(self, x):
            return {"y": tf.reduce_sum(x)}

        @tf.function(input_signature=vector)
        def slow(self, text):
            """Takes about two milliseconds a text."""
            loop = tf.while_loop(
                lambda i, x: i < 400 * tf.size(text), lambda i, x: (i + 1, tf.sin(x)), [0, tf.ones([999])]
            )
            return {"y": tf.fill([tf.size(text)], tf.reduce_sum(loop[1]))}

    odd = Odd()
    names = ("number", "parse", "claim", "same", "shaped", "negate", "total", "slow")
    tf.saved_model.save(
        odd, str(folder), signatures={name: getattr(odd, name).get_concrete_function() for name in names}
    )
