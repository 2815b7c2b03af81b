#!/bin/sh
# Gives Kibana the data view, the dashboard and the saved search of the logs, once it is available; run again, it puts
# them back as they are in the file beside it. Needs curl.
#   KIBANA_URL                   where it is; http://kibana:5601 without it
#   ELASTICSEARCH_USER           whom to log in as, where it asks for that
#   ELASTICSEARCH_PASSWORD_FILE  the file that holds the password
#   WAIT_SECONDS                 how long to wait for it; 600 without it
set -eu
url=${KIBANA_URL:-http://kibana:5601}
objects=$(dirname "$0")/penstock.ndjson

ask() {
    if [ -n "${ELASTICSEARCH_USER:-}" ]; then
        # From stdin: a password stands in no list of processes.
        printf 'user = "%s:%s"\n' "$ELASTICSEARCH_USER" "$(cat "$ELASTICSEARCH_PASSWORD_FILE")" |
            curl --silent --show-error --max-time 60 --config - "$@"
    else
        curl --silent --show-error --max-time 60 "$@"
    fi
}

end=$(($(date +%s) + ${WAIT_SECONDS:-600}))
# Which answers 200 once it can take objects, also where a part of it that they do not need is degraded.
until ask --fail --output /dev/null "$url/api/status"; do
    if [ "$(date +%s)" -ge "$end" ]; then
        echo "Kibana is not available at $url" >&2
        exit 1
    fi
    sleep 2
done

answer=$(ask --fail-with-body -X POST "$url/api/saved_objects/_import?overwrite=true" -H 'kbn-xsrf: penstock' \
    --form "file=@$objects;type=application/x-ndjson")
echo "$answer"
case $answer in
*'"success":true'*) ;;
*) exit 1 ;;
esac
