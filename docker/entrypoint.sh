#!/bin/bash
# Starts a server on the models in /models, and ends it when the container is told to end: the entry point of both images.
#
#   entrypoint.sh SERVER [FLAG ...]
#
# The models are those that the flags name, else those of /models/models.config, else each /models/NAME/<version>/saved_model.pb
# as model NAME. MODEL_BASE_PATH names another folder than /models.
#
# The server is a child: as process 1 it would get no signal that it has no handler for, and tensorflow_model_server has none.
# bash, not sh: dash loses a signal that comes while it starts the child.
set -eo pipefail # not -u: $! is unset before there is a child
shopt -s extglob nullglob

stop() {
    interrupted=yes
    [ -n "$!" ] || exit 143 # no child yet
    kill -TERM $! 2>/dev/null || true
}
trap stop TERM INT

models=${MODEL_BASE_PATH:-/models}
if [[ " $* " =~ \ --model_(config_file|base_path)[=\ ] ]]; then
    :
elif [ -f "$models/models.config" ]; then
    set -- "$@" --model_config_file="$models/models.config"
else
    configs=()
    for folder in "$models"/*/; do
        versions=("$folder"+([0-9])/saved_model.pb)
        [ ${#versions[@]} -gt 0 ] || continue
        path=${folder%/} path=${path//\\/\\\\} path=${path//\"/\\\"}
        configs+=("  config { name: \"${path##*/}\" base_path: \"$path\" model_platform: \"tensorflow\" }")
    done
    if [ ${#configs[@]} -eq 0 ]; then
        there=("$models"/*)
        echo "entrypoint.sh: expected $models/NAME/1/saved_model.pb for each model, or $models/models.config;" \
            "found ${there[*]:-nothing there}" >&2
        exit 2
    fi
    config=$(mktemp)
    trap 'rm -f "$config"' EXIT
    printf '%s\n' "model_config_list {" "${configs[@]}" "}" > "$config"
    set -- "$@" --model_config_file="$config"
fi

"$@" &
# A signal ends `wait` with a status of its own: the server's is what a wait tells that none interrupted.
while
    interrupted='' status=0
    wait $! || status=$?
    [ -n "$interrupted" ]
do :; done
exit $status
