#!/usr/bin/env bash
# From a text file to an answer over gRPC: fine-tunes MiniLM on SST-2, exports it, serves it, asks three questions.
# Called by `make demo`, with the virtual environment first in PATH.
set -euo pipefail
cd "$(dirname "$0")/.."
began=$SECONDS
folder=$(mktemp -d "${TMPDIR:-/tmp}/lineage-demo.XXXXXX")
server=
finish() {
    status=$?
    [ -z "$server" ] || kill "$server" 2>/dev/null && wait "$server" 2>/dev/null || true
    [ $status -eq 0 ] || { echo "demo: failed; its files are in $folder"; exit $status; }
    rm -rf "$folder"
}
trap finish EXIT
show() {
    printf '\n$ python'
    for word; do case $word in *' '*) printf ' "%s"' "$word" ;; *) printf ' %s' "$word" ;; esac; done
    printf '\n'
}
run() { show "$@"; python "$@"; }

echo "== 1. Data and weights"
train=sst2 dev=sst2 epochs=1 batch_size=32 data="SST-2: all 6,920 training sentences, one epoch"
if ! run -m trainer datasets sst2; then
    train=trainer/samples/sentiment.train.txt dev=trainer/samples/sentiment.dev.txt epochs=8 batch_size=8
    data="the sample in trainer/samples (80 training sentences that we wrote; SST-2 is not to be had)"
fi
echo "training on $data"

echo; echo "== 2. Train"
run -m trainer finetune sentiment --train $train --dev $dev --init minilm --epochs $epochs --batch_size $batch_size --learning_rate 1e-4 --out "$folder/run"

echo; echo "== 3. Export: strings in, decoded answers out"
run -m serving.export "$folder/run" --to "$folder/models/sentiment"

echo; echo "== 4. Serve"
port=$(python -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')
set -- -m serving.server --port "$port" --model_name sentiment --model_base_path "$folder/models/sentiment"
show "$@"
python "$@" 2> >(tee "$folder/server.log" >&2) &
server=$!
until grep -q '^serving ' "$folder/server.log" 2>/dev/null; do
    kill -0 $server 2>/dev/null || exit 1
    sleep 0.1
done

echo; echo "== 5. Ask"
for text in "A gorgeous, witty and deeply moving film." \
    "Clumsy, tedious and far too long." \
    "The plot is thin, but the cast is a joy to watch."; do
    run -m serving.client sentiment --server "localhost:$port" --text "$text"
done

echo; echo "== 6. Stop"
kill "$server"
wait "$server" || true
server=
echo "demo: done in $((SECONDS - began)) s, trained on $data"
