"""Requests that wait run as one batch, with TensorFlow Serving's parameters, and its texts of errors.

Who waits is merged when a batch thread becomes free, or when the batch is full; so batches grow with the load, and nobody
waits for company unless `batch_timeout_micros` says so. Unlike in TensorFlow Serving

- only requests whose tensors have equal shapes behind the first dimension are merged: those of other shapes form batches
  of their own, where TensorFlow Serving fails all of them;
- an error of a batch is found out by halves, so that it reaches only the request that causes it;
- the first batches of each kind are compared with single runs. If an answer differs, requests of this kind run alone:
  a model that mixes its rows, or an output without a row for each row of the input, is answered as without batching;
- `pad_variable_length_inputs` pads with zeros and empty strings, not with the tensor's first element, takes the padding
  off the outputs again, and passes the same comparison: a model that padding changes gets none.
"""
