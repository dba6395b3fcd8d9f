#!/usr/bin/env bash
# From files to answers over gRPC: trains a model for each task, exports all, serves them in one process, asks each once.
# Called by `make demo` (small models, in a temporary folder) and `make demo-all` (in full, in runs/ and exports/, finished
# runs reused), with the virtual environment first in PATH. QUESTIONS=5000 make demo-all trains qa on so many, not on all.
set -euo pipefail
cd "$(dirname "$0")/.."
size=${1:?expected small or full}
began=$SECONDS
data=${LINEAGE_DATA:-}
[ -z "$data" ] || data=$(cd "$data" 2>/dev/null && pwd) || { echo "demo: LINEAGE_DATA $LINEAGE_DATA: no such folder" >&2; exit 2; }
server=
case $size in
small) folder=$(mktemp -d "${TMPDIR:-/tmp}/lineage-demo.XXXXXX") runs=$folder/runs exports=$folder/exports ;;
full) folder= runs=runs exports=exports ;;
esac
finish() {
    status=$?
    [ -z "$server" ] || kill "$server" 2>/dev/null && wait "$server" 2>/dev/null || true
    [ $status -eq 0 ] || { echo "demo: failed; its files are in ${folder:-$runs and $exports}"; exit $status; }
    [ -z "$folder" ] || rm -rf "$folder"
}
trap finish EXIT
show() {
    printf '\n$ python'
    for word; do case $word in *' '*) printf ' "%s"' "$word" ;; *) printf ' %s' "$word" ;; esac; done
    printf '\n'
}
run() { show "$@"; python "$@"; }

if [ $size = full ]; then
    echo "training all in full: an hour and three quarters on two cores with QUESTIONS=5000, else two to three hours more"
fi
models=() left_out=() offline= had=
# have NAME: is the data set here, or can it be fetched? Where one could not, no other is waited for.
have() {
    [[ " $had " != *" $1 "* ]] || return 0
    if [ -n "$offline" ]; then
        python -c "import sys; from trainer.data import datasets; sys.exit(not datasets.complete('$1'))" || return 1
    else
        python -m trainer datasets "$1" >/dev/null || { offline=yes; return 1; }
    fi
    had+=" $1"
}
# learn MODEL TASK TRAIN DEV "options of the small run" "options of the full run" options of both
learn() {
    local data_set model=$1 task=$2 train=$3 dev=$4 options=$5 full=$6
    shift 6
    for data_set in "$train" "$dev"; do
        if ! [ -f "$data_set" ] && ! have "$data_set"; then
            left_out+=("$model")
            return
        fi
    done
    [ $size = small ] || options=$full
    echo; echo "== $model: train and export"
    # shellcheck disable=SC2086  the options are words
    run -m trainer finetune "$task" --train "$train" --dev "$dev" "$@" $options --seed 1 --out "$runs/$model"
    if [ -z "$(find "$exports/$model" -newer "$runs/$model/metrics.json" -path "*/[0-9]*/saved_model.pb" 2>/dev/null)" ]; then
        run -m serving.export "$runs/$model" --to "$exports/$model"
    fi
    models+=("$model")
}
# either FILE NAME: a file of LINEAGE_DATA, or where that is not there a data set by name
either() { if [ -f "$data/$1" ]; then echo "$data/$1"; else echo "$2"; fi; }

train=sst2 dev=sst2 small="--limit 2000 --epochs 1 --dropout 0" small_bilstm="--epochs 1"
show -m trainer datasets sst2
if ! have sst2; then
    train=trainer/samples/sentiment.train.txt dev=trainer/samples/sentiment.dev.txt small="--epochs 8 --batch_size 8"
    small_bilstm="--epochs 30 --batch_size 8"
    echo "sentiment is trained on the 80 sentences in trainer/samples (we wrote them; SST-2 is unavailable)"
fi
english=minilm rate=1e-4 rate_of_tags=3e-4 # learning rates of that size
if ! python -c "from trainer.weights import hub; hub.folder_of('minilm', fetch=not '$offline')" 2>/dev/null; then
    english=nano rate=5e-4 rate_of_tags=1e-3
    echo "English begins with nano, the small BERT that comes with the program (MiniLM is unavailable)"
fi
learn sentiment sentiment $train $dev "$small" "--epochs 3" --init $english --learning_rate $rate
learn sentiment-bilstm sentiment $train $dev "$small_bilstm" "" --recipe sentiment-bilstm
learn tagging tagging ud-en-ewt ud-en-ewt "--limit 1500 --dev_limit 200 --epochs 1 --dropout 0" "--epochs 2" \
    --init $english --learning_rate $rate_of_tags
sick=nli-en/sick/SICK mnli=nli-en/mnli/multinli # neither has a public address that we could check
if [ ! -f "$data/${sick}_train.txt" ]; then
    left_out+=(nli)
elif [ $size = small ]; then
    learn nli nli "$data/$sick"_{train,trial}.txt "--limit 2500 --epochs 1 --dropout 0" "" --init $english --learning_rate $rate
else
    learn nli nli "$data/$mnli"_{train_sample12988,dev_matched.first3000}.jsonl \
        "" "--epochs 2" --init $english --learning_rate $rate
fi
learn qa qa squad1 squad1 "--limit 1000 --dev_limit 100 --max_length 192" \
    "${QUESTIONS:+--limit $QUESTIONS} --dev_limit 1000" --init $english --learning_rate $rate --epochs 1 --epsilon 1e-8 --dropout 0
echo; echo "Chinese begins with nano, the small BERT that comes with the program"
train=chnsenticorp dev=$(either sentiment-zh/chnsenticorp/dev.not-in-train.tsv chnsenticorp)
small="--limit 2000 --dev_limit 300 --epochs 1 --dropout 0 --max_length 96"
if ! have chnsenticorp; then
    train=trainer/samples/sentiment-zh.train.txt dev=trainer/samples/sentiment-zh.dev.txt small="--epochs 8 --batch_size 8"
    echo "sentiment-zh is trained on the 80 sentences in trainer/samples (we wrote them; ChnSentiCorp is unavailable)"
fi
learn sentiment-zh sentiment $train $dev "$small" "--epochs 3 --max_length 192" --init nano --learning_rate 5e-4
treebank=tagging-zh/UD_Chinese-simplified-hankcs # tags of UD v1, in both parts or in none
[ -f "$data/$treebank/train.conll" ] || treebank=none
learn tagging-zh tagging "$(either $treebank/train.conll ud-zh-gsdsimp)" "$(either $treebank/dev.conll ud-zh-gsdsimp)" \
    "--limit 1500 --dev_limit 100 --epochs 1 --dropout 0" "--epochs 8" --init nano --learning_rate 1e-3

echo; echo "== fill_mask: nano as it is"
[ -d "$exports/fill_mask/1" ] || run -m serving.export nano --to "$exports/fill_mask"
models+=(fill_mask)

echo; echo "== Serve all in one process"
{
    echo "model_config_list {"
    for model in "${models[@]}"; do echo "  config { name: \"$model\" base_path: \"$exports/$model\" }"; done
    echo "}"
} > "$runs/models.config"
port=$(python -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')
log=$(mktemp)
set -- -m serving.server --port "$port" --model_config_file "$runs/models.config"
show "$@"
python "$@" 2> >(tee "$log" >&2) &
server=$!
until grep -q '^serving ' "$log" 2>/dev/null; do
    kill -0 $server 2>/dev/null || exit 1
    sleep 0.1
done
rm -f "$log"

echo; echo "== Ask each"
ask() { [[ " ${models[*]} " != *" $1 "* ]] || run -m serving.client "$2" --server "localhost:$port" --model "$1" "${@:3}"; }
ask sentiment sentiment --text "A gorgeous, witty and deeply moving film."
ask sentiment-bilstm sentiment --text "A gorgeous, witty and deeply moving film."
ask tagging tagging --text "She doesn't study in Shanghai."
ask nli nli --premise "A man is playing a guitar on the stage." --hypothesis "Nobody is playing a guitar."
ask qa qa --question "When was the tower finished?" \
    --context "The Eiffel Tower in Paris was designed by Gustave Eiffel's company. It was finished in March 1889 and is 330 metres tall."
ask sentiment-zh sentiment --text "房间很干净，服务员非常热情，下次还会来。"
ask tagging-zh tagging --text "她在上海学习机器学习。"
ask fill_mask fill_mask --text "今天天气很[MASK]。" --top_k 3
ask fill_mask fill_mask --text "She opened the [MASK] and walked into the room." --top_k 3

echo; echo "== Stop"
kill "$server"
wait "$server" || true
server=
echo "demo: ${models[*]}: done in $((SECONDS - began)) s"
if [ ${#left_out[@]} -gt 0 ]; then
    echo "demo: left out for want of data: ${left_out[*]}; set LINEAGE_DATA to a folder that has them, or go online"
fi
[ $size = full ] || echo "demo: small models, trained for seconds: expect wrong answers; make demo-all trains them in full"
