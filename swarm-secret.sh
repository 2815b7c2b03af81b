#!/bin/sh
# Gives a service of the stack another secret in the place of the one that it reads, and waits until it runs with it, or has run.
# usage: swarm-secret.sh SERVICE FILE SECRET [,uid=…,gid=…,mode=…]
set -eu
service=$1 file=$2 secret=$3
name="{{if eq .File.Name \"$file\"}}{{.SecretName}}{{end}}"
now=$(docker service inspect --format "{{range .Spec.TaskTemplate.ContainerSpec.Secrets}}$name{{end}}" "$service")
[ -n "$now" ] || { echo "$service reads no secret as its $file: nothing was changed" >&2 && exit 1; }
[ "$now" != "$secret" ] || exit 0
set -- --secret-rm "$now" --secret-add "source=$secret,target=$file${4:-}"
if [ "$(docker service inspect --format '{{.Spec.TaskTemplate.RestartPolicy.Condition}}' "$service")" != on-failure ]; then
    exec sh "$(dirname "$0")/swarm-update.sh" "$service" "$@"
fi
# What ends never comes to run, which Docker would wait for.
newest() { docker service ps --no-trunc --format '{{.ID}} {{.CurrentState}}' "$service" | head -n 1; }
before=$(newest)
docker service update --quiet --detach "$@" "$service"
for _ in $(seq 600); do
    case $(newest) in
    "${before%% *} "*) ;;
    *' Complete'*) exit 0 ;;
    esac
    sleep 1
done
docker service ps --no-trunc "$service" >&2
echo "$service has not ended well for ten minutes with $secret as its $file (docker service logs $service tells why): mend that, and give the whole block again" >&2
exit 1
