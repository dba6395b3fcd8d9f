# The embedded server with the models of exports/: `make image`, `make serve`.
# Other models can be mounted: `docker run -p 8500:8500 -p 8501:8501 -v $PWD/exports:/models:ro lineage-embedded`.

FROM python:3.11-slim AS packages
RUN apt-get update && apt-get install -y --no-install-recommends binutils
COPY docker/requirements.txt .
RUN python3 -m venv /venv --without-pip \
    && python3 -m pip --python /venv/bin/python install --no-cache-dir --no-deps -r requirements.txt
# Headers and symbols are for those who compile and debug TensorFlow: 0.6 GB.
RUN cd /venv/lib/python3*/site-packages \
    && rm -r tensorflow/include \
    && find tensorflow tensorflow_text -type f -name '*.so*' -exec strip --strip-unneeded {} +

FROM python:3.11-slim
COPY --from=packages /venv /venv
# Readable to the server's user whatever the umask of the checkout was
COPY --chmod=755 serving /app/serving
COPY --chmod=755 docker/entrypoint.sh /
COPY --chmod=755 exports /models
WORKDIR /app
USER 10001:10001
EXPOSE 8500 8501
ENTRYPOINT ["/entrypoint.sh", "/venv/bin/python", "-m", "serving.server", "--rest_api_port=8501"]
