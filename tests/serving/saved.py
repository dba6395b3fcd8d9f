"""Tiny SavedModels, made as TensorFlow Serving's own examples and tests make theirs."""

from pathlib import Path

REGRESS, CLASSIFY, PREDICT = (f"tensorflow/serving/{name}" for name in ("regress", "classify", "predict"))


def save_half_plus_two(folder: Path) -> Path:
    """Writes TensorFlow Serving's half_plus_two as TensorFlow 1 does: y = x / 2 + 2, y2 = x / 2 + 3, from x or Examples.

    Beside its own signatures: `classify_with_classes`, `nameless` without a method_name, and three that do not fit their
    method: `two` outputs, scores that are `flat`, and a `wide` value.
    """
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        half, two, three = (
            v1.get_variable(name, initializer=value) for name, value in zip("abc", (0.5, 2.0, 3.0), strict=True)
        )
        examples = v1.placeholder(tf.string, [None], name="tf_example")
        features = {"x": tf.io.FixedLenFeature([1], tf.float32), "x2": tf.io.FixedLenFeature([1], tf.float32, [0.0])}
        parsed = tf.io.parse_example(examples, features)
        x = tf.identity(parsed["x"], name="x")
        y, y2 = tf.add(half * x, two, name="y"), tf.add(half * x, three, name="y2")
        classes = tf.stack([tf.where(y > 3, tf.fill(tf.shape(y), "high"), tf.fill(tf.shape(y), "low"))[:, 0]], axis=1)
        info = v1.saved_model.utils.build_tensor_info
        build = v1.saved_model.signature_def_utils.build_signature_def
        serialized = {"inputs": info(examples)}
        signatures = {
            "serving_default": build({"x": info(x)}, {"y": info(y)}, PREDICT),
            "nameless": build({"x": info(x)}, {"y": info(y)}, ""),
            "regress_x_to_y": build(serialized, {"outputs": info(y)}, REGRESS),
            "regress_x_to_y2": build(serialized, {"outputs": info(y2)}, REGRESS),
            "classify_x_to_y": build(serialized, {"scores": info(y)}, CLASSIFY),
            "classify_with_classes": build(serialized, {"classes": info(classes), "scores": info(y)}, CLASSIFY),
            "predict_examples": build(serialized, {"y": info(y), "x": info(x)}, PREDICT),
            "two": build(serialized, {"outputs": info(y), "more": info(y2)}, REGRESS),
            "flat": build(serialized, {"scores": info(tf.reshape(y, [-1]))}, CLASSIFY),
            "wide": build(serialized, {"outputs": info(tf.concat([y, y2], 1))}, REGRESS),
        }
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.builder.SavedModelBuilder(str(folder))
        builder.add_meta_graph_and_variables(session, ["serve"], signatures)
        builder.save()
    return folder


def save_types(folder: Path, names: tuple[str, ...]) -> Path:
    """Writes a TensorFlow 2 model that returns its input, a signature for each type, and `many`: outputs y0 to y11 of x."""
    import tensorflow as tf

    module = tf.Module()
    spec = lambda dtype: tf.TensorSpec(None, dtype, name="x")
    module.many = tf.function(lambda x: {f"y{i}": x + i for i in range(12)}, input_signature=[spec(tf.float32)])
    signatures = {"many": module.many.get_concrete_function()}
    for name in names:
        function = tf.function(lambda x: {"y": tf.identity(x)}, input_signature=[spec(tf.as_dtype(name))])
        setattr(module, f"same_{name}", function)
        signatures[name] = function.get_concrete_function()
    tf.saved_model.save(module, str(folder), signatures=signatures)
    return folder


def save_defaults(folder: Path) -> Path:
    """Writes a TensorFlow 1 model: sum = a + 10 b, where b may be lacking and is 2 then; `odd` signatures beside it."""
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        a, b = v1.placeholder(tf.float32, [None], name="a"), v1.placeholder(tf.float32, [], name="b")
        total = tf.add(a, 10 * b, name="sum")
        info = v1.saved_model.utils.build_tensor_info
        build = v1.saved_model.signature_def_utils.build_signature_def
        signature = build({"a": info(a), "b": info(b)}, {"sum": info(total)}, PREDICT)
        signature.defaults["b"].CopyFrom(tf.make_tensor_proto(2.0))
        echo = build({"a": info(a)}, {"a": info(a), "sum": info(total)}, PREDICT)
        twice = build({"a": info(a), "b": info(b)}, {"first": info(total), "second": info(total)}, PREDICT)
        absent = build({"a": info(a), "b": info(b)}, {"sum": info(total)}, PREDICT)
        absent.outputs["sum"].name = "nowhere:0"
        builder = v1.saved_model.builder.SavedModelBuilder(str(folder))
        signatures = {"serving_default": signature, "echo": echo, "twice": twice, "absent": absent}
        builder.add_meta_graph_and_variables(session, ["serve"], signatures)
        builder.save()
    return folder
