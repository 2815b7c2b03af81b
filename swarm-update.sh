#!/bin/sh
# Changes a service of the stack as `docker service update` does, and fails where the Swarm goes back to what was before.
# usage: swarm-update.sh SERVICE OPTION…
set -eu
service=$1
shift
# What a deployment compares its image with: without it, one with the same image would change the service once more.
before=
for option in "$@"; do
    [ "$before" != --image ] || set -- "$@" --label-add "com.docker.stack.image=$option"
    before=$option
done
docker service update --quiet "$@" "$service"
# To have gone back is no failure to Docker, and it may say that it is done a moment before it is.
state() { docker service inspect --format '{{with .UpdateStatus}}{{.State}}{{end}}' "$service"; }
while [ "$(state)" = updating ]; do sleep 1; done
case $(state) in completed | '') ;; *) echo "$service: $(state)" >&2 && exit 1 ;; esac
