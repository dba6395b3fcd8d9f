# The stock TensorFlow Serving with the models of exports/: `make image IMAGE=serving`, `make serve IMAGE=serving`.
# Not yet built on the stock image itself, which we could not fetch: only on a stand-in for it.
# Other models can be mounted: `docker run -p 8500:8500 -v $PWD/exports:/models:ro lineage-serving`.

FROM docker.io/tensorflow/serving:2.20.0
# Readable to the server's user whatever the umask of the checkout was
COPY --chmod=755 docker/entrypoint.sh /
COPY --chmod=755 exports /models
USER 10001:10001
EXPOSE 8500 8501
ENTRYPOINT ["/entrypoint.sh", "tensorflow_model_server", "--port=8500", "--rest_api_port=8501"]
