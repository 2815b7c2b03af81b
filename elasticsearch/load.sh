#!/bin/sh
# Gives Elasticsearch the index template of the logs, once it answers; run again, it changes nothing, or what has changed
# in the files beside it. Needs curl.
#   ELASTICSEARCH_URL            where it is; http://elasticsearch:9200 without it
#   ELASTICSEARCH_USER           whom to log in as, where it asks for that
#   ELASTICSEARCH_PASSWORD_FILE  the file that holds the password
#   WAIT_SECONDS                 how long to wait for it; 600 without it
set -eu
url=${ELASTICSEARCH_URL:-http://elasticsearch:9200}
files=$(dirname "$0")
stream=logs-penstock-default

ask() {
    if [ -n "${ELASTICSEARCH_USER:-}" ]; then
        # From stdin: a password stands in no list of processes.
        printf 'user = "%s:%s"\n' "$ELASTICSEARCH_USER" "$(cat "$ELASTICSEARCH_PASSWORD_FILE")" |
            curl --silent --show-error --max-time 30 --config - "$@"
    else
        curl --silent --show-error --max-time 30 "$@"
    fi
}

put() {
    ask --fail-with-body -X PUT "$url/$1" -H 'Content-Type: application/json' --data-binary "$2"
    echo
}

end=$(($(date +%s) + ${WAIT_SECONDS:-600}))
until ask --fail -o /dev/null "$url/_cluster/health?wait_for_status=yellow&timeout=5s"; do
    if [ "$(date +%s)" -ge "$end" ]; then
        echo "Elasticsearch does not answer at $url" >&2
        exit 1
    fi
    sleep 2
done

known() {
    ask "$url/_index_template/penstock-logs" "$url/_component_template/penstock-*"
}

before=$(known)
put _component_template/penstock-ecs "@$files/component-ecs.json"
put _component_template/penstock-own "@$files/component-penstock.json"
put _index_template/penstock-logs "@$files/index-template.json"

# A stream that is there goes on with its old fields until its next index. If lines came before this template, Elasticsearch has
# made the stream by one of its own (logs@template), which takes every field.
if mapping=$(ask --fail "$url/$stream/_mapping" 2>/dev/null); then
    ours=no
    case $mapping in *'"dynamic":"false"'*) ours=yes ;; esac
    if [ "$before" != "$(known)" ] || [ $ours = no ]; then
        ask --fail-with-body -X POST "$url/$stream/_rollover"
        echo
        # What it has begun by its own template is kept by a policy (index.lifecycle.name) that deletes nothing.
        [ $ours = yes ] || ask --fail -o /dev/null -X POST "$url/$stream/_ilm/remove" 2> /dev/null || true
    fi
fi
# How long lines are kept is taken from the template when a stream is made, and not later.
if ask --fail -o /dev/null "$url/_data_stream/$stream" 2>/dev/null; then
    retention=$(sed -n 's/.*"data_retention": *"\([0-9a-z]*\)".*/\1/p' "$files/index-template.json")
    put "_data_stream/$stream/_lifecycle" "{\"data_retention\":\"$retention\"}"
fi
echo "the logs have their index template at $url"
