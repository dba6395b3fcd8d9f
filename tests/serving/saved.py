"""Tiny SavedModels, made as TensorFlow Serving's own examples and tests make theirs."""

from pathlib import Path

REGRESS, CLASSIFY, PREDICT = (f"tensorflow/serving/{name}" for name in ("regress", "classify", "predict"))


def save_half_plus_two(folder: Path) -> Path:
    """Writes TensorFlow Serving's half_plus_two as TensorFlow 1 does: y = x / 2 + 2, y2 = x / 2 + 3, from x or Examples.

    Its signatures: serving_default (Predict), regress_x_to_y, regress_x_to_y2, classify_x_to_y, classify_with_classes,
    predict_examples, two (an output that holds another signature's), and old (methods of no name).
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
