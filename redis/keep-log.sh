#!/bin/sh
# Runs Redis, or a sentinel, with its log in a file that does not grow without end, as Redis itself sees to no such thing:
#   sh keep-log.sh /var/log/penstock/redis-NODE.log redis-server /etc/redis.conf
# Redis opens the file for each line, so it can be moved aside; one old file is kept, as <file>.1.
#   LOG_FILE_BYTES  when to move it; 16777216 without it
#   LOG_LOOKS       how often to look, in seconds; 60 without it
set -eu
file=$1
shift

keep_small() {
    while sleep "${LOG_LOOKS:-60}"; do
        size=$(stat -c %s "$file" 2>/dev/null || echo 0)
        if [ "$size" -gt "${LOG_FILE_BYTES:-16777216}" ]; then
            mv -f "$file" "$file.1"
        fi
    done
}

keep_small &
exec "$@" --logfile "$file"
